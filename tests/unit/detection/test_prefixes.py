"""What is before the entries of an audit log is removed; lines that could be of the server log stay as they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaultwatch.detection.detector import Detector
from vaultwatch.detection.prefixes import Prefixes
from vaultwatch.reading.server_line import split_line
from vaultwatch.rules.pack import shipped_rules

ENTRY = json.dumps({"type": "request", "request": {"id": "1", "path": "kv/a"}}, separators=(",", ":")).encode()
SERVER_HEAD = b"2026-11-21T07:29:48.933Z [ERROR] core: failed: "
HEADER = b"<14>Nov 21 07:29:41 vault-1 vault[7]: "
BEFORE_ENTRIES = [
    *(HEADER, b"<191>Dec  1 17:00:01 vault-10 vault[123]: ", b"vault-audit: ", b"x"),
    *(b"Nov 21 07:29:41 host vault[7]: ", b"<14>1 2026-11-21T07:29:41Z host vault 123 - - "),
    b"2026-11-21T07:29:41.065830008Z stderr F ",
]
NOT_BEFORE_ENTRIES = [
    *(SERVER_HEAD, HEADER + SERVER_HEAD, b"<json:object>", b"a {x} ", b"\x1b[0m", b"[pod/a "),
    *(b"<14>1 2026-11-21T07:29:41Z host vault 123 - - " + SERVER_HEAD, b"x" * 600, b""),
]
OPEN_QUOTE = SERVER_HEAD + b'a="x'
LINES = [before + ENTRY for before in (*BEFORE_ENTRIES, *NOT_BEFORE_ENTRIES, b'a {"x ')]
LINES += [OPEN_QUOTE, HEADER + OPEN_QUOTE]


def remove(line: bytes) -> bytes:
    return Prefixes(lambda text: split_line(text).opens_message).remove(line)


@pytest.mark.parametrize("before", BEFORE_ENTRIES)
def test_a_header_or_prefix_is_removed(before: bytes) -> None:
    assert remove(before + ENTRY) == ENTRY


@pytest.mark.parametrize("before", [*NOT_BEFORE_ENTRIES, b"@c/n/server "])
def test_what_may_begin_a_message_or_is_no_prefix_stays(before: bytes) -> None:
    assert remove(before + ENTRY) == before + ENTRY


@settings(max_examples=20)
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6))
@example([HEADER + ENTRY, HEADER + OPEN_QUOTE, HEADER + ENTRY])
@example([HEADER + ENTRY, OPEN_QUOTE, ENTRY, HEADER + ENTRY])
def test_lines_are_of_the_same_logs_as_without_the_index(lines: list[bytes]) -> None:
    with_index, plainly = Detector(shipped_rules()), Detector(shipped_rules(), before_record=lambda: "")
    for detector in (with_index, plainly):
        detector.feed(lines, 0.0)
        detector.flush()
    assert with_index.counts == plainly.counts


def test_each_form_of_a_header_is_decided_once() -> None:
    asked: list[bytes] = []

    def opens_message(line: bytes) -> bool:
        asked.append(line)
        return False

    prefixes = Prefixes(opens_message)
    for number in range(10, 60):
        assert prefixes.remove(b"<14>Nov %d 07:%d:41 vault-1 vault[%d]: " % (number, number, number) + ENTRY) == ENTRY
    assert len(asked) == 1
