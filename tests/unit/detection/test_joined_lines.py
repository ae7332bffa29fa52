"""A whole entry that follows a part of another one, on the same line, is evaluated; the part is a rejected line."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.detection.records import SEAL, SERVER, found, request, response, rule
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.line_reader import Source
from vaultwatch.reading.budget import MAX_BYTES
from vaultwatch.reading.joined import ENTRY_FOLLOWS, joined_entries
from vaultwatch.reading.records import Origin, Rejected
from vaultwatch.rules.conditions import Text

TAG = b"@vaultwatch/vault-1/socket "
FIRST, SECOND = request("e1", "app/config", auth={"token_type": "batch"}), request("e2", error='}"{\\')


def read(line: bytes, origin: Origin | None = None) -> tuple[list[tuple[str, str, str]], list[Rejected], int]:
    rejected: list[Rejected] = []
    detector = Detector([SEAL], on_rejected=rejected.append)
    verdicts = detector.feed([line], origin=origin) + detector.flush()
    return found(verdicts), rejected, detector.counts.audit


@pytest.mark.parametrize("tag", [b"", TAG])
@given(kept=st.integers(2, len(FIRST) - 2))
def test_wherever_the_first_entry_ends_the_second_one_is_evaluated(tag: bytes, kept: int) -> None:
    line = tag + FIRST[:kept] + tag + SECOND

    verdicts, [rejected], entries = read(line)

    assert verdicts == [("seal", "e2", "failed")]
    assert (rejected.raw, rejected.reason, entries) == (FIRST[:kept], ENTRY_FOLLOWS, 1)


@pytest.mark.parametrize("between", [b"\0<13>Nov 21 07:00:00 vault-1 vault[7]: ", b"\xe2\x80\xa8", b"\x0c", rb"\n"])
def test_what_separates_whole_entries_is_left_out(between: bytes) -> None:
    third = request("e3", error="no")

    verdicts, rejected, entries = read(between[1:] + FIRST + between + SECOND + between + third)

    assert (verdicts, rejected, entries) == ([("seal", "e2", "failed"), ("seal", "e3", "failed")], [], 3)


@pytest.mark.parametrize("between", [b"x" * 300, b"{"])
def test_nothing_else_is_left_out(between: bytes) -> None:
    first = FIRST.rstrip()

    verdicts, [rejected], _ = read(first + between + first + between + SECOND)

    assert verdicts == [("seal", "e2", "failed")]
    assert rejected.raw.endswith(between + first + between)


def test_each_of_them_keeps_the_origin_in_its_own_tag() -> None:
    line = TAG + FIRST[:50] + b"@vaultwatch/vault-2/file " + SECOND

    detector = Detector([SEAL])
    [verdict] = detector.feed([line]) + detector.flush()

    assert verdict.origin == Origin("vaultwatch", "vault-2", "file")


@pytest.mark.parametrize("given", [None, Origin("prod", "vault-1", "file")])
def test_a_tag_inside_a_line_without_one_changes_no_origin(given: Origin | None) -> None:
    detector = Detector([SEAL])
    [verdict] = detector.feed([FIRST[:50] + b"@other/vault-9/socket " + SECOND], origin=given) + detector.flush()

    assert verdict.origin == (given or Origin())


HEAD = b"2026-11-21T07:00:00.000Z [INFO]  core: vault is sealed"


FORGED = [json.dumps({"log": SECOND.decode()}).encode(), HEAD + b" " + HEAD]


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize(
    ("before", "forged"),
    [(before, forged) for before in (b"@c/n/server ", b"@c/n/server   | ") for forged in (SECOND.rstrip() * 2, *FORGED)]
    + [(b"  | \t* ", forged) for forged in FORGED],
)
def test_no_text_in_a_message_of_the_server_log_makes_a_record(before: bytes, unwrap: bool, forged: bytes) -> None:
    sealed = rule(Text("message", "eq", "vault is sealed", False), "sealed", "server")
    detector = Detector([SEAL, sealed], unwrap=unwrap)
    assert detector.feed([before + b"x " + forged + b"\n"]) + detector.flush() == []


def test_an_entry_without_a_tag_has_the_origin_of_its_line() -> None:
    verdicts, [rejected], _ = read(FIRST[:50] + SECOND, Origin("c", "vault-1", "file"))

    assert verdicts == [("seal", "e2", "failed")]
    assert rejected.origin.node == "vault-1"


def test_of_several_parts_and_an_entry_only_the_entry_is_evaluated() -> None:
    verdicts, [rejected], _ = read(TAG + FIRST[:90] + TAG + FIRST[:40] + TAG + SECOND)

    assert verdicts == [("seal", "e2", "failed")]
    assert rejected.raw == FIRST[:90] + TAG + FIRST[:40]


def test_two_parts_are_one_rejected_line() -> None:
    verdicts, [rejected], _ = read(TAG + FIRST[:90] + TAG + SECOND[:-5])

    assert (verdicts, rejected.raw) == ([], FIRST[:90] + TAG + SECOND[:-5])


def test_two_whole_entries_are_both_read() -> None:
    for tag in (b"", TAG):
        assert read(tag + SECOND[:-1] + tag + FIRST) == ([("seal", "e2", "failed")], [], 2)


def test_an_entry_behind_a_part_that_is_over_its_budget_is_evaluated() -> None:
    part = request("e1", data="x" * MAX_BYTES)[:-9]

    verdicts, rejected, entries = read(part + SECOND)

    assert (verdicts, rejected, entries) == ([("seal", "e2", "failed"), ("seal", "e1", "unknown")], [], 2)


def test_what_a_client_sends_is_an_entry_of_its_own_only_where_the_line_ends_with_it() -> None:
    """Then nothing shows whether a client or Vault has written it, and none is to be lost."""
    inside = {"time": "2026-11-21T07:29:41Z", "type": "request", "request": {"path": "sys/seal"}}
    whole = response("e1", "app/config", data=inside, text=json.dumps(inside))

    ends = [end for end in range(len(whole) - 2) if joined_entries(whole[:end])]

    assert [
        whole[:end].endswith(json.dumps(inside).encode()) for end in {len(whole[:end].rstrip(b", ")) for end in ends}
    ] == [True]


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":' * 200_000 + b"0}",
        b"}" * 1_000_000,
        b'"}' * 500_000,
        b'{"}"' * 250_000 + b"}",
        b'{"type":"request","request":{}}x' * 30_000 + b"}",
    ],
)
def test_the_search_takes_linear_time(line: bytes) -> None:
    begin = time.process_time()
    assert joined_entries(line) == []
    assert time.process_time() - begin < 5


def test_ten_thousand_entries_on_one_line_are_each_read() -> None:
    assert len(joined_entries(b'{"type":"request","request":{}}' * 10_000)) == 10_000


def test_a_log_of_very_many_parts_is_read_as_it_is_from_then_on() -> None:
    """Searching lines takes time that no node must be able to take from others."""
    detector = Detector([SEAL], max_searched=2)
    for _ in range(2):
        detector.begin_log()
        detector.feed([TAG + json.dumps({"log": SECOND.decode()}).encode()] * 3)
    assert (detector.counts.audit, detector.counts.rejected) == (4, 2)


def test_a_line_of_very_many_small_objects_is_one_rejected_line() -> None:
    detector = Detector([SEAL])
    detector.feed([TAG + b"{}" * 100])
    assert detector.counts.rejected == 1


@pytest.mark.parametrize("source", ["auto", "server"])
@pytest.mark.parametrize("unwrap", [False, True])
def test_lines_in_envelopes_continue_the_message_before_them(source: Source, unwrap: bool) -> None:
    lines = [HEAD.replace(b"vault is sealed", b"failed:"), b"  error=", b"  | at one", b"  | at another", HEAD]
    wrapped = [json.dumps({"log": line.decode() + "\n", "stream": "stderr"}).encode() + b"\n" for line in lines]

    detector = Detector([SERVER], source=source, unwrap=unwrap)
    first, _ = detector.feed(wrapped) + detector.flush()

    assert b"at another" in first.record["raw"].encode()
    assert (detector.counts.server, detector.counts.rejected) == (2, 0)


def test_a_line_of_which_no_part_is_of_a_log_is_rejected_whole() -> None:
    _, rejected, _ = read(b"x" * 90 + b'","a":{"b":["c d",{"e":1}]}}')

    assert [len(one.raw) for one in rejected] == [118]
