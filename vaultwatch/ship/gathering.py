"""Gather lines into batches, which are closed by time or size."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import NamedTuple, Protocol

from vaultwatch.ship.boundaries import Line, boundaries, read_line
from vaultwatch.ship.options import Pace
from vaultwatch.ship.reading import Block


class Arrival(NamedTuple):
    """When lines arrived, on the monotonic clock and in UTC."""

    monotonic: float
    utc: datetime


class Batch(NamedTuple):
    """Whole lines for one frame, and when the first and the last of them arrived."""

    lines: Block
    first: datetime
    last: datetime


class Gatherer(Protocol):
    """Gathers lines until a batch is due."""

    size: int
    """Bytes of the gathered lines."""
    due: float | None
    """When the next batch is due, in monotonic seconds; None while there are no lines."""

    def add(self, block: Block, now: Arrival) -> None:
        """Add whole lines."""

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:
        """Take the lines that are ready for a frame; None if there are none.

        Args:
            now: The present time.
            everything: Whether to take incomplete messages too.
        """

    def middle(self, lines: bytes) -> int:
        """Return at which byte to divide lines that exceed one Kinesis record; 0 if they cannot be divided."""


class LineGatherer:
    """Gathers audit entries: each line is a record."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._blocks: list[Block] = []
        self._first = self._last = Arrival(0.0, datetime.min)  # noqa: DTZ901 (replaced when the first block arrives)
        self.size = 0
        self.due: float | None = None

    def add(self, block: Block, now: Arrival) -> None:
        """See `Gatherer.add`."""
        if not self._blocks:
            self._first, self.due = now, now.monotonic + self._pace.close_after_seconds
        self._blocks.append(block)
        self._last = now
        self.size += len(block)

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:  # noqa: ARG002 (a line is always complete)
        """See `Gatherer.take`."""
        blocks, self._blocks, self.size, self.due = self._blocks, [], 0, None
        return Batch(b"".join(blocks), self._first.utc, self._last.utc) if blocks else None

    def middle(self, lines: bytes) -> int:
        """See `Gatherer.middle`."""
        half = len(lines) // 2
        cut = lines.rfind(b"\n", 0, half) + 1 or lines.find(b"\n", half) + 1
        return cut if cut < len(lines) else 0


class MessageGatherer:
    """Gathers server-log messages: the lines of one message are never divided."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lines: list[Line] = []
        self._arrivals: list[datetime] = []
        self.size = 0
        self.due: float | None = None

    def add(self, block: Block, now: Arrival) -> None:
        """See `Gatherer.add`."""
        lines = [read_line(text, now.monotonic) for text in BytesIO(block).readlines()]
        if not self._lines:
            self.due = now.monotonic + self._pace.close_after_seconds
        self._lines += lines
        self._arrivals += [now.utc] * len(lines)
        self.size += len(block)

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:
        """See `Gatherer.take`."""
        count = len(self._lines) if everything else self._settled(now.monotonic)
        taken, self._lines = self._lines[:count], self._lines[count:]
        arrived, self._arrivals = self._arrivals[:count], self._arrivals[count:]
        self.size = sum(len(line.text) for line in self._lines)
        self.due = self._next_due(now.monotonic)
        return Batch(b"".join(line.text for line in taken), arrived[0], arrived[-1]) if taken else None

    def _settled(self, now: float) -> int:
        cuts = boundaries(self._lines, now - self._pace.settle_seconds, now - self._pace.message_seconds)
        return cuts[-1] if cuts else 0

    def _next_due(self, now: float) -> float | None:
        if not self._lines:
            return None
        return max(self._lines[0].at + self._pace.close_after_seconds, now + self._pace.settle_seconds)

    def middle(self, lines: bytes) -> int:
        """See `Gatherer.middle`."""
        read = [read_line(text, 0.0) for text in BytesIO(lines).readlines()]
        ends = [0]
        for line in read:
            ends.append(ends[-1] + len(line.text))
        cuts = [ends[index] for index in boundaries(read, 0.0, 0.0)[:-1]]
        return min(cuts, key=lambda cut: abs(cut - len(lines) // 2), default=0)
