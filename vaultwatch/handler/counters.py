"""Count lines and bytes by cluster, node and lane since the process started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from vaultwatch.canary import mark_of
from vaultwatch.frames import Counter, count_lines
from vaultwatch.reading.records import LONGEST_TAG, Origin, split_tag

MAX_ORIGINS = 1000
OTHERS = Origin("*", "*", "*")
_CANARY = mark_of()


@dataclass(slots=True)
class Row:
    """What came from one origin: lines, their bytes, and when the last one came, and the last entry of the canary.

    The times are in seconds of the epoch.
    """

    lines: int = 0
    bytes: int = 0
    last: float = 0.0
    last_canary: float = 0.0


class Counters:
    """A bounded table: origins beyond its bound share one row, so that the sums stay exact."""

    def __init__(self, max_origins: int = MAX_ORIGINS, clock: Callable[[], float] = time.time) -> None:
        self._max_origins = max_origins
        self._clock = clock
        self._rows: dict[Origin, Row] = {}
        self._row_by_tag: dict[bytes, Row] = {}

    def add(self, lines: bytes | bytearray) -> None:
        """Count the lines of a frame."""
        if isinstance(lines, bytearray):  # one huge line, which is counted without a copy
            _count(self._row(bytes(lines[:LONGEST_TAG])), count_lines(lines), len(lines), self._clock())
        else:
            self.add_lines(BytesIO(lines).readlines())

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Count lines, each with its newline."""
        rows = self._row_by_tag
        now = self._clock()
        for line in lines:
            row = rows.get(line[: line.find(b" ", 0, LONGEST_TAG) + 1]) or self._row(line)
            _count(row, 1, len(line), now)
            if _CANARY in line:
                row.last_canary = now

    def _row(self, line: bytes) -> Row:
        origin, rest = split_tag(line)
        if origin not in self._rows and len(self._rows) >= self._max_origins:
            return self._rows.setdefault(OTHERS, Row())
        row = self._rows.setdefault(origin, Row())
        self._row_by_tag[line[: len(line) - len(rest)]] = row
        return row

    def rows(self) -> tuple[Counter, ...]:
        """Return the table's rows for a heartbeat."""
        return tuple(Counter(o.cluster, o.node, o.lane, row.lines, row.bytes) for o, row in self.by_origin())

    def by_origin(self) -> Iterator[tuple[Origin, Row]]:
        """Yield the table's rows with their origins; another thread may count meanwhile."""
        yield from list(self._rows.items())


def _count(row: Row, count: int, size: int, now: float) -> None:
    row.lines += count
    row.bytes += size
    row.last = now
