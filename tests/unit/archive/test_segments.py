"""Archived segments are decompressed in bounded chunks, up to any damage, and have the tag of the stream."""

from __future__ import annotations

import pytest
import zstandard

from vaultwatch.archive.segments import tag_of, unpack
from vaultwatch.aws.keys import Segment
from vaultwatch.errors import ArchiveError


def test_consecutive_zstd_frames_are_decompressed() -> None:
    packed = zstandard.compress(b"a" * 3_000_000) + zstandard.compress(b"b")
    assert b"".join(unpack([packed[:7], packed[7:]])) == b"a" * 3_000_000 + b"b"


def test_a_file_that_decompresses_to_many_times_its_size_comes_in_bounded_chunks() -> None:
    packed = zstandard.compress(bytes(200 * 1024 * 1024))
    sizes = [len(chunk) for chunk in unpack([packed])]
    assert (sum(sizes), max(sizes) <= 33 * 1024 * 1024) == (200 * 1024 * 1024, True)


@pytest.mark.parametrize("damage", [b"junk that is no frame", zstandard.compress(b"x" * 1000)[:-3]])
def test_damage_is_reported_after_everything_before_it(damage: bytes) -> None:
    out: list[bytes] = []
    with pytest.raises(ArchiveError):
        out.extend(unpack([zstandard.compress(b"good"), damage]))
    assert b"".join(out).startswith(b"good")


@pytest.mark.parametrize(
    ("source", "tag"),
    [
        ("audit-file", b"@unknown/v-1/file "),
        ("audit", b"@unknown/v-1/socket "),
        ("server", b"@unknown/v-1/server "),
    ],
)
def test_a_source_is_a_lane_of_the_stream(source: str, tag: bytes) -> None:
    assert tag_of(Segment(source, "v-1", is_first=True)) == tag


def test_complete_frames_right_before_the_damage_are_not_lost() -> None:
    whole = zstandard.compress(b"first\n") + zstandard.compress(b"second\n")
    out: list[bytes] = []
    with pytest.raises(ArchiveError, match="damaged"):
        out.extend(unpack([whole + b"no frame at all"]))
    assert b"".join(out) == b"first\nsecond\n"
