"""Verdicts on requests that wait for their responses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from vaultwatch.detection.verdict import Verdict

MAX_WAITING = 10_000


class Waiting:
    """Verdicts by event key, in the order of their deadlines; bounded, because clients control how many requests wait.

    `events` maps each waiting key to its deadline and verdicts; use it only for look-ups. Unless `note` is None, it is
    to be called with each key that is looked up there.
    """

    note: Callable[[str | None], object] | None = None

    def __init__(self, wait_seconds: float, max_events: int = MAX_WAITING) -> None:
        self.events: OrderedDict[str, tuple[float, list[Verdict]]] = OrderedDict()
        self._wait_seconds = wait_seconds
        self._max_events = max_events

    @property
    def next_due(self) -> float | None:
        """When the first of them has waited long enough; None if none waits."""
        return next((deadline for deadline, _ in self.events.values()), None)

    def verdicts(self) -> list[Verdict]:
        """Return all verdicts that wait."""
        return [verdict for _, verdicts in self.events.values() for verdict in verdicts]

    def add(self, key: str, verdicts: Sequence[Verdict], now: float) -> list[Verdict]:
        """Add verdicts on one event, and return those whose rules had none waiting for it.

        A copy of the request, from another audit device, does not prolong the wait.
        """
        waiting = self.events.setdefault(key, (now + self._wait_seconds, []))[1]
        known = {verdict.rule.name for verdict in waiting}
        new = [verdict for verdict in verdicts if verdict.rule.name not in known]
        waiting += new
        return new

    def of(self, key: str) -> list[Verdict]:
        """Return the verdicts that wait for the response of one event."""
        return self.events[key][1] if key in self.events else []

    def remove(self, key: str, verdicts: Sequence[Verdict]) -> None:
        """Remove some of the verdicts that wait for the response of one event, which has come."""
        if key not in self.events:
            return
        left = [verdict for verdict in self.events[key][1] if verdict not in verdicts]
        if left:
            self.events[key] = (self.events[key][0], left)
        else:
            del self.events[key]

    def excess(self) -> list[Verdict]:
        """Remove and return the oldest verdicts beyond the bound."""
        out: list[Verdict] = []
        while len(self.events) > self._max_events:
            out += self.events.popitem(last=False)[1][1]
        return out

    def due(self, now: float) -> list[Verdict]:
        """Remove and return the verdicts that have waited long enough."""
        out: list[Verdict] = []
        while (deadline := self.next_due) is not None and deadline <= now:
            out += self.events.popitem(last=False)[1][1]
        return out

    def flush(self) -> list[Verdict]:
        """Remove and return all verdicts."""
        out = self.verdicts()
        self.events.clear()
        return out
