"""Keep when expected events were seen, and find the times in which none came.

An event is due a timespan after the latest one. Events that are at most a timespan apart are a run: a new one lengthens
a run, joins two, or begins one, so the order in which they arrive does not matter, and a repeat changes nothing. Behind
each run nothing came when it was due.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from vaultwatch.detection.firsts import Combination, First

MAX_GROUPS = 1_000
MAX_RUNS = 1_000
"""Of one group."""


class Run(msgspec.Struct, frozen=True):
    """Events at most a timespan apart: when the first one was, in seconds since the epoch, and the last one."""

    begins: float
    last: First

    @property
    def ends(self) -> float:
        """When the last one was."""
        return self.last.found.moment


GroupSeen: TypeAlias = tuple[Combination, list[Run]]


class Runs:
    """When expected events were seen, by rule and group.

    `dropped` is how many events were not kept: those of further groups, and the oldest runs of one that has too many.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._seen: dict[Combination, list[Run]] = {}

    def note(self, of: Combination, moment: float, timespan_seconds: int, event: Callable[[], First]) -> None:
        """Note an expected event.

        Args:
            of: Its rule and group.
            moment: Its time, in seconds since the epoch.
            timespan_seconds: How long after it the next one is due.
            event: Returns it; called if it is the last one of its run.
        """
        runs = self._seen.get(of)
        if runs is None:
            if len(self._seen) >= MAX_GROUPS:
                self.dropped += 1
                return
            runs = self._seen[of] = []
        at = bisect_right(runs, moment, key=lambda run: run.begins)
        if at and moment < runs[at - 1].ends:
            return
        self._add(runs, Run(moment, event()), timespan_seconds)

    def join(self, seen: Iterable[GroupSeen], timespans: Callable[[str], int]) -> None:
        """Add what was seen elsewhere.

        Args:
            seen: What was seen.
            timespans: Returns the timespan of a rule.
        """
        for of, runs in seen:
            known = self._seen.get(of)
            if known is None and len(self._seen) >= MAX_GROUPS:
                self.dropped += len(runs)
                continue
            for run in runs:
                self._add(self._seen.setdefault(of, []), run, timespans(of.rule))

    def has_room(self, seen: Sequence[GroupSeen]) -> bool:
        """Return whether what was seen elsewhere can be added without giving up any of it."""
        groups = {of: len(runs) for of, runs in seen}
        most = max((len(self._seen.get(of, ())) + runs for of, runs in groups.items()), default=0)
        return len(self._seen.keys() | groups.keys()) <= MAX_GROUPS and most <= MAX_RUNS

    def _add(self, runs: list[Run], run: Run, timespan_seconds: int) -> None:
        """Add a run, as one with all that are at most a timespan away."""
        near = [
            one
            for one in runs
            if one.begins - timespan_seconds <= run.ends and run.begins <= one.ends + timespan_seconds
        ]
        last = max((one.last for one in (run, *near)), key=lambda last: last.found.order)
        whole = Run(min(one.begins for one in (run, *near)), last)
        runs[:] = sorted([*(one for one in runs if one not in near), whole], key=lambda one: one.begins)
        if len(runs) > MAX_RUNS:
            self.dropped += 1
            del runs[0]

    @property
    def seen(self) -> list[GroupSeen]:
        """What was seen, in the order of rules and groups."""
        return sorted(self._seen.items())

    def drain(self) -> list[GroupSeen]:
        """Return what was seen, and forget it."""
        found = self.seen if self._seen else []
        self._seen.clear()
        return found
