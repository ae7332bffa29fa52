"""Count lines and bytes by cluster, node and lane since the process started."""

from __future__ import annotations

from io import BytesIO

from vaultwatch.frames import Counter, count_lines
from vaultwatch.reading.records import LONGEST_TAG, Origin, split_tag
from vaultwatch.ship.reading import Block

MAX_ORIGINS = 1000
OTHERS = Origin("*", "*", "*")


class Counters:
    """A bounded table: origins beyond its bound share one row, so that the sums stay exact."""

    def __init__(self, max_origins: int = MAX_ORIGINS) -> None:
        self._max_origins = max_origins
        self._rows: dict[Origin, list[int]] = {}
        self._row_by_tag: dict[bytes, list[int]] = {}

    def add(self, lines: Block) -> None:
        """Count the lines of a frame."""
        if isinstance(lines, bytearray):  # one huge line, which is counted without a copy
            self._count(bytes(lines[:LONGEST_TAG]), count_lines(lines), len(lines))
            return
        rows = self._row_by_tag
        for line in BytesIO(lines).readlines():
            row = rows.get(line[: line.find(b" ", 0, LONGEST_TAG) + 1])
            if row is None:
                self._count(line, 1, len(line))
            else:
                row[0] += 1
                row[1] += len(line)

    def _count(self, line: bytes, count: int, size: int) -> None:
        row = self._row(line)
        row[0] += count
        row[1] += size

    def _row(self, line: bytes) -> list[int]:
        origin, rest = split_tag(line)
        if origin not in self._rows and len(self._rows) >= self._max_origins:
            return self._rows.setdefault(OTHERS, [0, 0])
        row = self._rows.setdefault(origin, [0, 0])
        self._row_by_tag[line[: len(line) - len(rest)]] = row
        return row

    def rows(self) -> tuple[Counter, ...]:
        """Return the table's rows for a heartbeat."""
        return tuple(Counter(o.cluster, o.node, o.lane, *row) for o, row in self._rows.items())
