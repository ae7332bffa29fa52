"""The Expectations contract: when events are due that have to come again and again.

Of each rule and group the latest event is kept. Adding one that is known, or an earlier one, changes nothing, so any
number of processes can do it, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from vaultwatch.detection.absences import Run
from vaultwatch.detection.firsts import Combination


class Expected(msgspec.Struct, frozen=True):
    """The latest event of a rule and group, as the last one of a run, and when the next one is due.

    Times are in seconds since the epoch.
    """

    rule: str
    group: tuple[str, ...]
    run: Run
    due_at: float

    @property
    def name(self) -> str:
        """By what stores know the rule and group."""
        return Combination(self.rule, self.group).digest

    def replaces(self, known: Expected) -> bool:
        """Return whether this changes what is known: it is later, or as late and due at another time."""
        ends = self.run.ends
        return ends > known.run.ends or (ends == known.run.ends and self.due_at != known.due_at)


class Expectations(Protocol):
    """The contract. If a method fails, it raises `StoreError` and nothing else."""

    def expect(self, expected: Sequence[Expected], now: float) -> None:
        """Keep the latest events, for as long as alerts are remembered."""
        ...

    def due(self, now: float) -> list[Expected]:
        """Return some of what is due and was not settled, the earliest first."""
        ...

    def settle_due(self, expected: Expected, now: float) -> None:
        """Note that an alert was raised on what is due; if another event came since, this changes nothing."""
        ...
