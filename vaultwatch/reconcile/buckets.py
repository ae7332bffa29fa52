"""Rows on the disk, divided by their event: all rows of one event are in one bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vaultwatch.reconcile.rows import Row, pack, unpack

_BUCKETS = 256
_FLUSH_BYTES = 32 * 1024


class Buckets:
    """Divides rows into files. The digest that divides them cannot be predicted, so the files are of about one size."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"rows-{number:03}" for number in range(_BUCKETS)]
        self._held = [bytearray() for _ in self._paths]
        self._on_disk = set[int]()

    def add(self, row: Row) -> None:
        """Add a row."""
        number = row.event[0]
        held = self._held[number]
        held += pack(row)
        if len(held) >= _FLUSH_BYTES:
            self._flush(number)

    def read(self) -> Iterator[list[Row]]:
        """Yield the rows of one bucket after the other, each in the order in which they were added."""
        for number, (path, held) in enumerate(zip(self._paths, self._held, strict=True)):
            yield unpack((path.read_bytes() if number in self._on_disk else b"") + held)
            path.unlink(missing_ok=True)

    def _flush(self, number: int) -> None:
        with self._paths[number].open("ab") as file:
            file.write(self._held[number])
        self._held[number].clear()
        self._on_disk.add(number)
