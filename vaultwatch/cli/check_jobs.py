"""Read the parts of logs ahead, in as many processes as the user allows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.errors import ChildEnded
from vaultwatch.findings.reader import Result, Settings, read_ahead
from vaultwatch.inputs.parts import Part

if TYPE_CHECKING:
    from vaultwatch.crew import Advance

OnDone = Callable[[int], None]
"""Called at least five times a second with the bytes that other processes have read."""
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many cores this process may use.

    It is 1 where a copy of a process is not safe: macOS loads libraries that do not bear it.
    """
    if not sys.platform.startswith("linux"):
        return 1
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_LIMIT.read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):  # there is no limit
        return allowed


class Ahead(ExitStack):
    """The parts of a run, read ahead by other processes if there are enough of them.

    Attributes:
        size: The bytes of all parts; 0 if no other process reads.
    """

    def __init__(
        self, settings: Settings, parts: Sequence[Part], jobs: int, on_done: OnDone, *, keep: bool, min_bytes: int
    ) -> None:
        """Start the processes.

        Args:
            settings: How logs are read.
            parts: All parts, in their order. What is no file is never read ahead: it can be read only once.
            jobs: How many processes at most.
            on_done: See `OnDone`.
            keep: Whether rejected lines are kept.
            min_bytes: The bytes of all parts below which one process is faster than several.
        """
        super().__init__()
        self.size = 0
        self._parts = parts
        self._given_up: set[str] = set()
        self._results: Iterator[bytes] | None = None
        self._on_done = on_done
        size, count = sum(part.size for part in parts), min(jobs, sum(part.size > 0 for part in parts))
        if count > 1 and size >= min_bytes:
            self.size = size
            self._begin(settings, count, keep=keep)

    def _begin(self, settings: Settings, count: int, *, keep: bool) -> None:
        from vaultwatch.crew import Crew  # most logs need no other process

        nothing = len(self._parts)

        def work(number: int, advance: Advance) -> bytes:
            return b"" if number == nothing else read_ahead(settings, self._parts[number], advance, keep=keep)

        crew = self.enter_context(Crew(work, count))
        pieces = (number if self._is_wanted(part) else nothing for number, part in enumerate(self._parts))
        self._results = crew.results(pieces, lambda: self._on_done(crew.done))

    def _is_wanted(self, part: Part) -> bool:
        return part.size > 0 and part.name not in self._given_up

    def give_up(self, name: str) -> None:
        """Read no more of this file ahead."""
        self._given_up.add(name)

    def skip(self, count: int) -> None:
        """Leave out what was found in the next parts."""
        for _ in range(count):
            self.next()

    def next(self) -> Result | None:
        """Return what was found in the next part; None if it must be read in order.

        Raises:
            ChildEnded: A process did not finish.
        """
        if self._results is None:
            return None
        try:
            found = next(self._results)
        except ChildEnded as error:
            why = f"{error.reason} (was the memory exhausted?); no alerts are shown, because some would be missing"
            raise ChildEnded(f"{why}; --jobs 1 reads without such processes", error.mark) from None
        return msgspec.msgpack.decode(found, type=Result) if found else None
