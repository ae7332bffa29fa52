"""Lines on their way into a frame."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import NamedTuple, Protocol

from vaultwatch.ship.boundaries import Line, boundaries, read_line
from vaultwatch.ship.options import Pace
from vaultwatch.ship.reading import Block


class Arrival(NamedTuple):
    """When something came, on the monotonic clock and in UTC."""

    monotonic: float
    utc: datetime


class Batch(NamedTuple):
    """Whole lines that leave together, and when the first and the last of them came."""

    lines: Block
    first: datetime
    last: datetime


class Gatherer(Protocol):
    """Gathers lines until they are due."""

    size: int
    """Bytes gathered."""
    due: float | None
    """When to take a batch (monotonic seconds); None while there is nothing to take."""

    def add(self, block: Block, now: Arrival) -> None:
        """Gather whole lines."""

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:
        """Take what may leave; `everything` also what might still go on."""

    def middle(self, lines: bytes) -> int:
        """Where to divide lines that are too many for one record, or 0 if they must not be divided."""


class LineGatherer:
    """For audit entries: each line is a record."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._blocks: list[Block] = []
        self._first = self._last = Arrival(0.0, datetime.min)  # noqa: DTZ901 (replaced by the first block's)
        self.size = 0
        self.due: float | None = None

    def add(self, block: Block, now: Arrival) -> None:
        if not self._blocks:
            self._first, self.due = now, now.monotonic + self._pace.close_after_seconds
        self._blocks.append(block)
        self._last = now
        self.size += len(block)

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:  # noqa: ARG002 (nothing goes on)
        blocks, self._blocks, self.size, self.due = self._blocks, [], 0, None
        return Batch(b"".join(blocks), self._first.utc, self._last.utc) if blocks else None

    def middle(self, lines: bytes) -> int:
        half = len(lines) // 2
        cut = lines.rfind(b"\n", 0, half) + 1 or lines.find(b"\n", half) + 1
        return cut if cut < len(lines) else 0


class MessageGatherer:
    """For the server log: a message of several lines leaves in one piece."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lines: list[Line] = []
        self._arrivals: list[datetime] = []
        self.size = 0
        self.due: float | None = None

    def add(self, block: Block, now: Arrival) -> None:
        lines = [read_line(text, now.monotonic) for text in BytesIO(block).readlines()]
        if not self._lines:
            self.due = now.monotonic + self._pace.close_after_seconds
        self._lines += lines
        self._arrivals += [now.utc] * len(lines)
        self.size += len(block)

    def take(self, now: Arrival, *, everything: bool = False) -> Batch | None:
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
        held = [read_line(text, 0.0) for text in BytesIO(lines).readlines()]
        ends = [0]
        for line in held:
            ends.append(ends[-1] + len(line.text))
        cuts = [ends[index] for index in boundaries(held, 0.0, 0.0)[:-1]]
        return min(cuts, key=lambda cut: abs(cut - len(lines) // 2), default=0)
