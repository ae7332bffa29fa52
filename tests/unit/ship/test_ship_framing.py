"""Batches become frames: none is too large, no line or message is divided, and everything is counted exactly."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.frames import MAX_LINES_BYTES, Counter, Frame, Heartbeat, Records, Reference, count_lines, decode
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Batch, LineGatherer
from vaultwatch.ship.options import Pace
from vaultwatch.ship.outbox import StreamRecord
from vaultwatch.ship.reading import Block

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROCESS = UUID("0b6f0f2e-7f43-4a3c-9a4e-6c1f2d3e4a5b")


class Shelf:
    """An oversize store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def keep(self, lines: Block, at: datetime) -> Reference:  # noqa: ARG002 (the contract's)
        digest = hashlib.sha256(lines).hexdigest()
        self.kept[digest] = bytes(lines)
        return Reference("shelf", digest, len(lines), count_lines(lines), digest)


class Outgoing:
    """A framer with an oversize store, and the frames that it made."""

    def __init__(self, max_record_bytes: int = 2000) -> None:
        self.records: list[StreamRecord] = []
        self.shelf = Shelf()
        middle = LineGatherer(Pace()).middle
        self.framer = Framer(("audit", "logs-1", PROCESS), self.shelf, middle, self.records.append, max_record_bytes)

    def send(self, lines: Block) -> None:
        self.framer.send(Batch(lines, NOON, NOON))

    def frames(self) -> list[Frame]:
        return [decode(record.data) for record in self.records]

    def bytes(self) -> bytes:
        contents = [frame.content for frame in self.frames()]
        return b"".join(
            content.lines if isinstance(content, Records) else self.shelf.kept[content.key]
            for content in contents
            if not isinstance(content, Heartbeat)
        )


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size).replace(b"\n", b".")


def test_a_frame_names_its_origin() -> None:
    out = Outgoing()
    out.send(b"one\n")
    out.send(b"two\n")
    assert out.frames() == [
        Frame("audit", "logs-1", PROCESS, 0, NOON, NOON, Records(b"one\n")),
        Frame("audit", "logs-1", PROCESS, 1, NOON, NOON, Records(b"two\n")),
    ]


def test_partition_keys_differ() -> None:
    out = Outgoing()
    for _ in range(3):
        out.send(b"same\n")
    assert len({record.partition_key for record in out.records}) == 3


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_no_frame_is_too_large_and_no_line_divided(sizes: list[int]) -> None:
    out = Outgoing(max_record_bytes=2000)
    lines = [noise(size, seed) + b"\n" for seed, size in enumerate(sizes)]
    out.send(b"".join(lines))
    assert all(len(record.data) <= 2000 for record in out.records)
    assert [frame.sequence for frame in out.frames()] == list(range(len(out.records)))
    assert out.bytes() == b"".join(lines)
    for frame in out.frames():
        if isinstance(frame.content, Records):
            assert frame.content.lines.endswith(b"\n")


def test_a_line_too_large_for_a_record_is_stored_elsewhere_and_referred_to() -> None:
    out = Outgoing()
    large = noise(3000) + b"\n"
    out.send(b"before\n" + large + b"after\n")
    digest = hashlib.sha256(large).hexdigest()
    assert [frame.content for frame in out.frames()] == [
        Records(b"before\n"),
        Reference("shelf", digest, 3001, 1, digest),
        Records(b"after\n"),
    ]


def test_a_line_that_compresses_well_is_too_large_if_readers_would_not_decompress_it() -> None:
    out = Outgoing()
    out.send(bytearray(b"a" * MAX_LINES_BYTES + b"\n"))
    (frame,) = out.frames()
    assert isinstance(frame.content, Reference)


def test_a_heartbeat_counts_exactly_the_frames_before_it() -> None:
    out = Outgoing()
    out.framer.heartbeat(NOON)
    out.send(b"@c/n/file " + noise(3000) + b"\n@c/n/file small\n")
    out.framer.heartbeat(NOON)
    out.send(b"@c/n/file later\n")
    out.framer.heartbeat(NOON, final=True)
    assert [frame.content for frame in out.frames() if isinstance(frame.content, Heartbeat)] == [
        Heartbeat(()),
        Heartbeat((Counter("c", "n", "file", 2, 3011 + 16),)),
        Heartbeat((Counter("c", "n", "file", 3, 3011 + 16 + 16),), final=True),
    ]


def test_frames_are_filled_according_to_how_well_the_last_ones_compressed() -> None:
    out = Outgoing(max_record_bytes=10_000)
    for seed in range(5):
        out.send(noise(500, seed).hex().encode() * 10 + b"\n")
    assert 50_000 < out.framer.target_bytes <= MAX_LINES_BYTES
    for seed in range(5):
        out.send(noise(8000, seed) + b"\n")
    assert out.framer.target_bytes < 10_000
