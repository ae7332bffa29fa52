"""Read both sides, and compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.reconcile.buckets import Buckets
from vaultwatch.reconcile.comparison import LEFT, RIGHT, Comparison, Side, Window
from vaultwatch.reconcile.rows import Reader


class Log(NamedTuple):
    """A log that can be read more than once.

    Attributes:
        name: Its name, for people.
        read: Yields its bytes from the beginning, in chunks of any size.
    """

    name: str
    read: Callable[[], Iterator[bytes]]


def reconcile(
    left: Sequence[Log],
    right: Sequence[Log],
    reader: Reader,
    window: Window,
    limit: int,
    *,
    folder: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare the audit entries of two sides.

    Rows of 46 bytes an entry, and 8 bytes for its time, are kept in a temporary folder.

    Args:
        left: The logs of one audit device.
        right: Those of another one.
        reader: Reads the entries.
        window: Which of them are reported.
        limit: How many differences of each kind are kept; all are counted.
        folder: In which folder the temporary one is made; None for that of the system.
        progress: Called again and again while no log is read.
    """
    with TemporaryDirectory(prefix="vaultwatch-reconcile-", dir=folder) as name:
        buckets = Buckets(Path(name))
        sides = Side(len(left)), Side(len(right))
        for index, log in enumerate((*left, *right)):
            _read(log, index, sides[RIGHT if index >= len(left) else LEFT], reader, buckets)
        comparison = Comparison(Path(name), sides, window, limit)
        for rows in buckets.read():
            progress()
            comparison.add(rows, right_from=len(left))
        comparison.finish()
        return comparison


def _read(log: Log, index: int, side: Side, reader: Reader, buckets: Buckets) -> None:
    for number, line in numbered_lines(log):
        for entry in reader.read(line):
            if isinstance(entry, Rejected):
                side.rejected += 1
                continue
            side.read += 1
            side.partial += bool(entry.partial)
            buckets.add(reader.row(entry, index, number))


def numbered_lines(log: Log) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a log that are not blank, and their numbers from 1."""
    return ((number, line) for number, line in enumerate(_lines(log), start=1) if not line.isspace())


def _lines(log: Log) -> Iterator[bytes]:
    splitter = LineSplitter()
    for chunk in log.read():
        yield from splitter.push(chunk)
    yield from splitter.flush()
