"""A server-log message is never divided between two frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.ship.boundaries import Line, boundaries, read_line

NEVER, ALWAYS = -1.0, 1e9
HEAD = b"2026-11-21T07:29:43.682Z [ERROR] audit: backend failed to log response: backend=siem/\n"
MORE = [b"  error=\n", b"  | 2 errors occurred:\n", b"  | \n", b"  \n"]
RECORDED = Path(__file__).parents[2] / "data/recordings/vault-1.14.2/audit-socket-down/server.log"


def lines(*texts: bytes, tag: bytes = b"", at: float = 0.0) -> list[Line]:
    return [read_line(tag + text, at) for text in texts]


@pytest.mark.parametrize("tag", [b"", b"@prod/vault-1/server "])
@pytest.mark.parametrize(
    "header", [b"", b"Nov 21 07:29:43 vault-1 vault[812]: ", b"2026-11-21T07:29:43.700000+00:00 vault-1 vault[812]: "]
)
@pytest.mark.parametrize("text", [HEAD, b'{"@level":"info"}\n', b"==> Vault reload triggered\n"])
def test_these_lines_start_a_message(tag: bytes, header: bytes, text: bytes) -> None:
    assert read_line(tag + header + text, 0.0).starts


def test_terminal_colours_do_not_hide_the_start_of_a_message() -> None:
    assert read_line(b"\x1b[33m==> Vault reload triggered\x1b[0m\n", 0.0).starts


@pytest.mark.parametrize("header", [b"", b"Nov 21 07:29:43 vault-1 vault[812]: "])
@pytest.mark.parametrize("text", [*MORE, b"\n", b"goroutine 1 [running]:\n", b"\xff\x00\n"])
def test_these_lines_continue_a_message(header: bytes, text: bytes) -> None:
    assert not read_line(header + text, 0.0).starts


def test_a_cut_is_possible_only_between_messages() -> None:
    two = lines(HEAD, *MORE, HEAD, *MORE)
    assert boundaries(two, ALWAYS, ALWAYS) == [5, 10]


def test_the_last_message_may_continue_until_it_has_settled() -> None:
    two = lines(HEAD, *MORE, HEAD, at=10.0)
    assert boundaries(two, 9.9, NEVER) == [5]
    assert boundaries(two, 10.0, NEVER) == [5, 6]


def test_the_last_message_is_not_waited_for_without_a_limit() -> None:
    going_on = lines(HEAD, at=8.0) + lines(*MORE, at=10.0)
    assert boundaries(going_on, 9.9, 7.9) == []
    assert boundaries(going_on, 9.9, 8.0) == [5]


def test_interleaved_messages_of_two_nodes_are_not_divided() -> None:
    a, b = b"@prod/a/server ", b"@prod/b/server "
    mixed = lines(HEAD, tag=a) + lines(HEAD, tag=b) + lines(MORE[0], tag=a) + lines(HEAD, tag=b) + lines(HEAD, tag=a)
    assert boundaries(mixed, ALWAYS, ALWAYS) == [3, 4, 5]


def test_without_tags_the_syslog_header_separates_the_nodes() -> None:
    a, b = b"Nov 21 07:29:43 a vault[1]: ", b"Nov 21 07:29:43 b vault[1]: "
    mixed = lines(HEAD, tag=a) + lines(HEAD, tag=b) + lines(MORE[0], tag=a)
    assert boundaries(mixed, ALWAYS, ALWAYS) == [3]


def test_a_recorded_log_is_cut_only_before_first_lines() -> None:
    recorded = [read_line(line, 0.0) for line in RECORDED.read_bytes().splitlines(keepends=True)]
    cuts = boundaries(recorded, ALWAYS, ALWAYS)
    assert len(recorded) > len(cuts) > 10
    assert not [cut for cut in cuts[:-1] if recorded[cut].text.startswith((b" ", b"\n"))]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_no_message_crosses_a_cut(pattern: list[tuple[str, bool]]) -> None:
    written = [Line(b"x\n", 0.0, ("", node, "", "", ""), opens) for node, opens in pattern]
    message_of: list[tuple[str, int]] = []
    seen = dict.fromkeys("abc", 0)
    for node, opens in pattern:
        seen[node] += opens
        message_of.append((node, seen[node]))
    for cut in boundaries(written, ALWAYS, ALWAYS):
        assert not set(message_of[:cut]) & set(message_of[cut:])
