"""Compare the rows of two sides: the union by event and kind of entry."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vaultwatch.reconcile.rows import NO_TIME, Row
from vaultwatch.reconcile.silences import BOTH, LEFT_ONLY, RIGHT_ONLY, Marks, Silence, silences

LEFT, RIGHT = 0, 1
_SAME_TIME = 60_000_000
"""Microseconds by which the times of one entry may differ: each device writes its own, and may wait for another."""
_Slots = list[Row | None]


class Window(NamedTuple):
    """The entries that are reported: those of these moments, in microseconds since 1970, the last one not included.

    An entry without a time is always reported.
    """

    begin: int = NO_TIME
    end: int = 1 << 62

    def has(self, row: Row) -> bool:
        """Return whether a row is reported."""
        return self.begin <= row.moment < self.end or row.moment == NO_TIME


class Finding(NamedTuple):
    """One difference: the row, and the one that it differs from."""

    row: Row
    other: Row | None = None


@dataclass
class Findings:
    """Differences of one kind: how many, and the earliest of them.

    Attributes:
        limit: How many are kept.
        count: How many there are.
        first: The earliest time, in microseconds since 1970.
        last: The latest time.
    """

    limit: int
    count: int = 0
    first: int = 1 << 62
    last: int = NO_TIME
    _kept: list[tuple[int, int, Finding]] = field(default_factory=list)

    def add(self, row: Row, other: Row | None = None) -> None:
        """Count a difference, and keep it if it is one of the earliest."""
        self.count += 1
        if row.moment != NO_TIME:
            self.first, self.last = min(self.first, row.moment), max(self.last, row.moment)
        item = (-row.moment, -self.count, Finding(row, other))
        if len(self._kept) < self.limit:
            heapq.heappush(self._kept, item)
        elif self._kept:
            heapq.heappushpop(self._kept, item)

    def __iter__(self) -> Iterator[Finding]:
        """Yield those that were kept, the earliest first."""
        return (finding for _, _, finding in sorted(self._kept, reverse=True))


@dataclass
class Side:
    """What one side has.

    Attributes:
        logs: How many logs.
        read: How many entries were read, whether they are reported or not.
        entries: How many different entries are reported.
        repeated: How many more entries are copies of these.
        rejected: How many lines are no audit entries.
        partial: How many entries were compared in part, because they are too large.
    """

    logs: int = 0
    read: int = 0
    entries: int = 0
    repeated: int = 0
    rejected: int = 0
    partial: int = 0


class Comparison:
    """What two sides have and lack.

    Attributes:
        sides: Left and right.
        common: How many entries are on both sides.
        missing: What each side lacks, and the other has.
        differing: Entries with other contents on the other side, or in another copy.
        without_response: Requests without a response on either side, which should have one.
        without_request: Responses without a request.
        standing_alone: How many entries have no counterpart, and never have one.
        silences: The longest spans in which a side had no entry, by time.
        silence_count: How many there are.
    """

    def __init__(self, folder: Path, sides: tuple[Side, Side], window: Window, limit: int) -> None:
        self.sides = sides
        self.common = self.standing_alone = self.silence_count = 0
        self.missing = (Findings(limit), Findings(limit))
        self.differing = Findings(limit)
        self.without_response = Findings(limit)
        self.without_request = Findings(limit)
        self.silences: list[Silence] = []
        self._marks = Marks(folder)
        self._window, self._limit = window, limit

    @property
    def equal(self) -> bool:
        """Whether both sides have the same, and all of it could be read."""
        kinds = (*self.missing, self.differing, self.without_response, self.without_request)
        return not any(found.count for found in kinds) and not any(side.rejected for side in self.sides)

    def add(self, rows: Iterable[Row], right_from: int) -> None:
        """Compare all rows of some events.

        Args:
            rows: The rows.
            right_from: The index of the first log of the right side.
        """
        events: dict[bytes, _Slots] = {}
        for row in rows:
            slots = events.setdefault(row.event, [None] * 4)
            self._place(row, slots, RIGHT if row.log >= right_from else LEFT)
        for slots in events.values():
            self._compare(slots[::2])
            self._compare(slots[1::2])
            self._pair(slots)

    def finish(self) -> None:
        """Find the silences, when all rows were compared."""
        longest: list[Silence] = []
        for silence in silences(self._marks.sorted()):
            self.silence_count += 1
            (heapq.heappush if len(longest) < self._limit else heapq.heappushpop)(longest, silence)
        self.silences = sorted(longest, key=lambda silence: silence.begin)

    def _place(self, row: Row, slots: _Slots, side: int) -> None:
        slot = 2 * side + row.is_response
        first = slots[slot]
        if first is None:
            slots[slot] = row
        elif self._window.has(row):
            self.sides[side].repeated += 1
            if _differ(first, row):
                self.differing.add(first, row)

    def _compare(self, both: Sequence[Row | None]) -> None:
        """Compare the entries of one kind of an event, of the left and of the right side."""
        left, right = both
        row = left or right
        if row is None or not self._window.has(row):
            return
        for side, found in zip(self.sides, both, strict=True):
            side.entries += found is not None
        if left and right:
            self.common += 1
            if _differ(left, right):
                self.differing.add(left, right)
        else:
            self.missing[LEFT if right else RIGHT].add(row)
        if row.moment != NO_TIME:
            self._marks.add(row.moment, BOTH if left and right else LEFT_ONLY if left else RIGHT_ONLY)

    def _pair(self, slots: _Slots) -> None:
        request, response = slots[0] or slots[2], slots[1] or slots[3]
        alone = request or response
        if (request and response) or alone is None or not self._window.has(alone):
            return
        if alone.stands_alone:
            self.standing_alone += 1
        else:
            (self.without_response if request else self.without_request).add(alone)


def _differ(one: Row, other: Row) -> bool:
    return one.content != other.content or (
        one.moment != other.moment
        and (NO_TIME in (one.moment, other.moment) or abs(one.moment - other.moment) > _SAME_TIME)
    )
