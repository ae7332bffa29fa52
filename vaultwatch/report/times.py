"""When something happened how often, in little memory, whatever the times are and in whichever order they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import floor
from typing import NamedTuple

import msgspec

from vaultwatch.printable import one_line, quoted_time
from vaultwatch.reading.identity import parse_time

_MOST_SPANS = 8_192
_FINEST_SECONDS = 1 / 16
_SHORTEST_GAP_SECONDS = 60.0
_GAP_FACTOR = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Gap(NamedTuple):
    """A span without anything: seconds since 1970."""

    begin: float
    end: float


class Times(msgspec.Struct):
    """Counts in spans of equal length, which doubles when there are too many.

    Attributes:
        seconds: The length of a span.
        counts: How many there are in each span, by its number since 1970.
        without: How many have no readable time.
    """

    seconds: float = _FINEST_SECONDS
    counts: dict[int, int] = msgspec.field(default_factory=dict)
    without: int = 0

    def add(self, moment: float | None) -> None:
        """Count a moment, in seconds since 1970."""
        if moment is None:
            self.without += 1
            return
        span = floor(moment / self.seconds)
        self.counts[span] = self.counts.get(span, 0) + 1
        while len(self.counts) > _MOST_SPANS:
            self._double()

    @property
    def total(self) -> int:
        """How many have a readable time."""
        return sum(self.counts.values())

    @property
    def first(self) -> float | None:
        """The beginning of the first span, in seconds since 1970."""
        return min(self.counts) * self.seconds if self.counts else None

    @property
    def last(self) -> float | None:
        """The end of the last span."""
        return (max(self.counts) + 1) * self.seconds if self.counts else None

    def between(self, begin: float, end: float, parts: int) -> list[int]:
        """Return the counts of equal parts of a period.

        Args:
            begin: Its begin, in seconds since 1970.
            end: Its end.
            parts: How many parts it has.
        """
        found = [0] * parts
        for span, count in self.counts.items():
            middle = (span + 0.5) * self.seconds
            if begin <= middle < end:
                found[int((middle - begin) / (end - begin) * parts)] += count
        return found

    def gaps(self) -> list[Gap]:
        """Return the spans that are longer than a minute, and than twenty times the mean between two."""
        if self.first is None or self.last is None:
            return []
        mean = (self.last - self.first) / self.total
        shortest = max(_SHORTEST_GAP_SECONDS, _GAP_FACTOR * mean, 2 * self.seconds)
        return [gap for gap in self._empty() if gap.end - gap.begin >= shortest]

    def _empty(self) -> Iterator[Gap]:
        spans = sorted(self.counts)
        for one, following in pairwise(spans):
            if following > one + 1:
                yield Gap((one + 1) * self.seconds, following * self.seconds)

    def _double(self) -> None:
        halved: dict[int, int] = {}
        for span, count in self.counts.items():
            halved[span >> 1] = halved.get(span >> 1, 0) + count
        self.seconds, self.counts = self.seconds * 2, halved


def longest_gap(gaps: Sequence[Gap]) -> str:
    """Return how long the longest of some gaps is, and when it begins."""
    longest = max(gaps, key=lambda gap: gap.end - gap.begin)
    return f"the longest {duration(longest.end - longest.begin)} from {clock(longest.begin)}"


def seconds_of(text: str) -> float | None:
    """Return a time as logged in seconds since 1970; None if it is none."""
    moment = parse_time(text)
    return (moment - _EPOCH).total_seconds() if moment else None


def clock(seconds: float | None) -> str:
    """Return a moment as people read it, in UTC: `2026-11-21 07:29:43`; "" for None."""
    return "" if seconds is None else f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


def shown_time(text: str) -> str:
    """Return a time as logged as people read it, in UTC; if it is none, as a text."""
    moment = parse_time(text)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else quoted_time(one_line(text, 40))


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `2 h 5 min`."""
    whole = round(seconds)
    for size, unit, part, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
