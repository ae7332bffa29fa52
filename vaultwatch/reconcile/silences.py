"""The spans of time in which one side has no entry, while the other has some that it lacks."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_RUN = 500_000
_READ = 8192
LEFT_ONLY, RIGHT_ONLY, BOTH = 1, 2, 3
_SHORTEST = 2


class Silence(NamedTuple):
    """A span in which a side has no entry.

    Attributes:
        entries: How many entries of the other side it lacks.
        begin: The time of the first of them, in microseconds since 1970.
        end: That of the last one.
        side: The index of the side.
    """

    entries: int
    begin: int
    end: int
    side: int


class Marks:
    """When entries were logged, and on which side; sorted on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = array("q")
        self._runs: list[Path] = []

    def add(self, moment: int, where: int) -> None:
        """Note an entry: its time in microseconds, and `LEFT_ONLY`, `RIGHT_ONLY` or `BOTH`."""
        self._held.append(moment * 4 + where)
        if len(self._held) >= _RUN:
            self._spill()

    def sorted(self) -> Iterator[tuple[int, int]]:
        """Yield all marks, the earliest first."""
        runs: list[Iterable[int]] = [_read(path) for path in self._runs]
        for mark in heapq.merge(*runs, sorted(self._held)):
            yield mark >> 2, mark & 3

    def _spill(self) -> None:
        path = self._folder / f"marks-{len(self._runs)}"
        with path.open("wb") as file:
            array("q", sorted(self._held)).tofile(file)
        self._runs.append(path)
        self._held = array("q")


def _read(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        while data := file.read(8 * _READ):
            yield from array("q", data)


def silences(marks: Iterable[tuple[int, int]]) -> Iterator[Silence]:
    """Yield the spans in which a side has no entry, and the other has at least two.

    Args:
        marks: Times and where there is an entry, the earliest first.
    """
    runs: list[Silence | None] = [None, None]
    for moment, where in marks:
        for side, has_entry in enumerate((where & LEFT_ONLY, where & RIGHT_ONLY)):
            run = runs[side]
            if not has_entry:
                runs[side] = Silence(run.entries + 1 if run else 1, run.begin if run else moment, moment, side)
            elif run:
                runs[side] = None
                yield from _long(run)
    for run in runs:
        if run:
            yield from _long(run)


def _long(run: Silence) -> Iterator[Silence]:
    if run.entries >= _SHORTEST:
        yield run
