"""A whole entry that follows a part of another one, on the same line, is evaluated; the part is a rejected line."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.detection.records import SEAL, found, request, response
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.joined import joined_entry
from vaultwatch.reading.records import Origin, Rejected

TAG = b"@vaultwatch/vault-1/socket "
FIRST, SECOND = request("e1", "app/config", auth={"token_type": "batch"}), request("e2")


def read(line: bytes, origin: Origin | None = None) -> tuple[list[tuple[str, str, str]], list[Rejected], int]:
    rejected: list[Rejected] = []
    detector = Detector([SEAL], on_rejected=rejected.append)
    verdicts = detector.feed([line], origin=origin) + detector.flush()
    return found(verdicts), rejected, detector.counts.audit


@pytest.mark.parametrize("tag", [b"", TAG])
@given(kept=st.integers(2, len(FIRST) - 2))
def test_wherever_the_first_entry_ends_the_second_one_is_evaluated(tag: bytes, kept: int) -> None:
    assume(tag or FIRST[kept - 1 : kept] not in b":,[ ")
    line = tag + FIRST[:kept] + tag + SECOND

    verdicts, [rejected], entries = read(line)

    assert verdicts == [("seal", "e2", "unknown")]
    assert (rejected.raw, rejected.reason, entries) == (FIRST[:kept], "its end is missing: another entry follows", 1)


def test_each_of_them_keeps_the_origin_in_its_own_tag() -> None:
    line = TAG + FIRST[:50] + b"@vaultwatch/vault-2/file " + SECOND

    detector = Detector([SEAL])
    [verdict] = detector.feed([line]) + detector.flush()

    assert verdict.origin == Origin("vaultwatch", "vault-2", "file")


def test_an_entry_without_a_tag_has_the_origin_of_its_line() -> None:
    verdicts, [rejected], _ = read(FIRST[:50] + SECOND, Origin("c", "vault-1", "file"))

    assert verdicts == [("seal", "e2", "unknown")]
    assert rejected.origin.node == "vault-1"


def test_of_several_parts_and_an_entry_only_the_entry_is_evaluated() -> None:
    verdicts, [rejected], _ = read(TAG + FIRST[:90] + TAG + FIRST[:40] + TAG + SECOND)

    assert verdicts == [("seal", "e2", "unknown")]
    assert rejected.raw == FIRST[:90] + TAG + FIRST[:40]


def test_two_parts_are_one_rejected_line() -> None:
    verdicts, [rejected], _ = read(TAG + FIRST[:90] + TAG + SECOND[:-5])

    assert (verdicts, rejected.raw) == ([], FIRST[:90] + TAG + SECOND[:-5])


def test_two_whole_entries_are_one_rejected_line() -> None:
    verdicts, [rejected], _ = read(TAG + FIRST[:-1] + TAG + SECOND)

    assert (verdicts, rejected.raw) == ([], FIRST[:-1] + TAG + SECOND[:-1])


def test_what_a_client_sends_is_no_entry_of_its_own() -> None:
    inside = {"time": "2026-11-21T07:29:41Z", "type": "request", "request": {"path": "sys/seal"}}
    whole = response("e1", "app/config", data=inside, text=json.dumps(inside))

    for end in range(len(whole) - 2):
        assert joined_entry(whole[:end]) == 0


def test_a_line_with_very_many_beginnings_is_given_up() -> None:
    assert joined_entry(b'{"time":' * 100_000 + b"0}") == 0
