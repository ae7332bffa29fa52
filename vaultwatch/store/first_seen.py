"""Judge what correlations that learn have seen: an alert is raised if nobody has seen it before.

What was seen is noted once its alert is stored: if a process ends between these, the alert is raised again, with the
same id. So no crash loses an alert, and none is raised twice. What was seen while its rule was learning is noted
without an alert. A rule learns for its timespan, from when it or a rule that it counts became live.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.correlation import first_verdict
from vaultwatch.detection.firsts import CombinationSeen
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.pack import Rule
from vaultwatch.store import REMEMBERED_SECONDS
from vaultwatch.store.memory import Memory

MAX_KNOWN = 20_000
MAX_JUDGED = 1_000
"""Combinations that one call looks up in the store, of all rules alike."""
TRUSTED_SECONDS = 43_200.0
"""How long a process does not ask the store again about a combination."""
LATE_SECONDS = 31 * 86_400.0
"""How late records may be judged. Of one with an earlier time, which may be forged, nothing is learned."""
_RENEWED_SECONDS = 86_400.0


class Judged(NamedTuple):
    """What was judged.

    Attributes:
        alerts: On what was not seen before.
        new: The digests of what the store is to remember.
        known: Those of what it remembers already.
        left_out: How many combinations were not judged, because there were too many.
    """

    alerts: list[Alert]
    new: list[str]
    known: list[str]
    left_out: int = 0


class FirstSeen:
    """Judges what was seen, and keeps in memory what it needs not ask the store about.

    Args:
        rules: The rules.
        memory: Returns where it is remembered; called when there is something to look up.
        remembered_seconds: How long a combination is remembered after it was last seen. An alert must not be remembered
            longer, or a combination that was forgotten raises none when it returns.
    """

    def __init__(
        self, rules: Iterable[Rule], memory: Callable[[], Memory], remembered_seconds: float = REMEMBERED_SECONDS
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        compiled = [rule.compiled for rule in self._rules.values()]
        self._by_name = Correlations((one, one.correlation) for one in compiled if one.correlation).by_name
        self._memory = memory
        self._remembered_seconds = remembered_seconds
        self._known: dict[str, float] = {}

    def note_live(self, now: float) -> None:
        """Let the store know which rules are live, so that they learn from then on.

        Raises:
            StoreError: The store failed.
        """
        learning = [name for name, one in self._by_name.items() if one.correlation.type == "first_seen"]
        self._learned(learning, now)

    def judge(self, seen: Sequence[CombinationSeen], now: float) -> Judged:
        """Judge what was seen.

        Raises:
            StoreError: The store failed; the same may be judged again.
        """
        asked = [one for one in seen if not now < self._known.get(one[0].digest, 0.0) <= now + TRUSTED_SECONDS]
        if not asked:
            return Judged([], [], [])
        left_out, asked = max(0, len(asked) - MAX_JUDGED), _shared_out(asked, MAX_JUDGED)
        until = self._memory().seen([combination.digest for combination, _ in asked], now)
        new = [one for one in asked if one[0].digest not in until]
        learned = self._learned({combination.rule for combination, _ in new}, now)
        alerts = [
            alert_of(first_verdict(self._by_name[combination.rule], combination, first))
            for combination, first in new
            if max(first.found.moment, now - LATE_SECONDS) >= learned[combination.rule]
        ]
        fresh = now + self._remembered_seconds - _RENEWED_SECONDS
        digests = [combination.digest for combination, _ in asked]
        stale = [digest for digest in digests if until.get(digest, 0.0) < fresh]
        return Judged(alerts, stale, [digest for digest in digests if digest not in set(stale)], left_out)

    def remember(self, judged: Judged, now: float) -> None:
        """Remember what was judged, once its alerts are stored.

        Raises:
            StoreError: The store failed; what is not remembered will raise its alert again.
        """
        if judged.new:
            self._memory().remember(judged.new, now + self._remembered_seconds)
        for digest in (*judged.new, *judged.known):
            if len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = now + TRUSTED_SECONDS

    def _learned(self, names: Iterable[str], now: float) -> dict[str, float]:
        """Return when each of these correlations has learned enough."""
        of = {name: (name, *self._by_name[name].correlation.rules) for name in names}
        if not of:
            return {}
        digests = {name: self._rules[name].digest for some in of.values() for name in some}
        live = self._memory().rules_live_since(digests, now)
        return {
            name: max(live[one] for one in some) + self._by_name[name].correlation.timespan_seconds
            for name, some in of.items()
        }


def _shared_out(seen: Sequence[CombinationSeen], most: int) -> list[CombinationSeen]:
    """Return so many, the first of each rule before the second of any: no rule uses up the room of another."""
    before = Counter[str]()
    ranked = list[tuple[int, CombinationSeen]]()
    for one in seen:
        ranked.append((before[one[0].rule], one))
        before[one[0].rule] += 1
    return [one for _, one in sorted(ranked, key=lambda it: it[0])[:most]]
