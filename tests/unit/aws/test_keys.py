"""S3 keys: the key of each kind of object, and that parsing a key gives its parts."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from vaultwatch.aws import keys
from vaultwatch.errors import ArchiveError

MORNING = datetime(2026, 11, 21, 7, 29, 38, tzinfo=UTC)


@pytest.mark.parametrize("source", ["audit", "audit-file", "server"])
@pytest.mark.parametrize(("sequence", "is_first"), [(1, True), (2, False), (11, False)])
def test_the_key_of_a_segment_is_read_as_it_was_written(source: str, sequence: int, is_first: bool) -> None:
    for random in ("", "0123456789abcdef"):
        key = keys.segment(source, "1-a", sequence, MORNING, random)
        assert keys.parse_segment(key) == (source, "1-a", is_first)
        assert keys.place_of(key) == (source, "1-a", sequence)
        assert keys.segment_start(key) == MORNING


def test_the_key_of_a_segment_sorts_by_sequence_within_its_hour() -> None:
    key = keys.segment("audit-file", "vault-1", 11, MORNING)
    assert key == "archive/source=audit-file/node=vault-1/dt=2026-11-21/hour=07/00000011-20261121T072938.zst"


@pytest.mark.parametrize(
    "key", ["archive/elsewhere", "archive/source=other/node=n/1-x.zst", "alerts/source=audit/node=n/"]
)
def test_any_other_key_is_refused(key: str) -> None:
    with pytest.raises(ArchiveError, match="not the key of a segment"):
        keys.parse_segment(key)


def test_the_key_of_oversize_lines_has_their_day_and_digest() -> None:
    key = keys.oversize(MORNING, "0" * 64)
    assert key == f"oversize/dt=2026-11-21/{'0' * 64}"
    assert keys.is_oversize(key)


@pytest.mark.parametrize("key", ["alerts/2026", "oversize/../alerts/2026", "oversize/\0", "oversize/" + "a" * 1100])
def test_a_frame_may_refer_to_no_other_key(key: str) -> None:
    assert not keys.is_oversize(key)


def test_the_keys_of_parked_frames_and_rejected_lines_have_their_day() -> None:
    process = UUID("00000000-0000-4000-8000-00000000000a")
    assert keys.parked(MORNING, "shard-1") == "parked/dt=2026-11-21/shard-1.frame"
    assert keys.rejected(MORNING, process, 7) == f"rejected/dt=2026-11-21/{process}-000000000007.jsonl"
