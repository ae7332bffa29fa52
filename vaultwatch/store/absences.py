"""Raise an alert when an event does not come that is due, once for each time at which one was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.absences import GroupSeen, Run
from vaultwatch.detection.correlation import absence_verdict, without_entry
from vaultwatch.detection.firsts import Combination
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.pack import Rule
from vaultwatch.store.expectations import Expectations, Expected

TOO_OLD_SECONDS = 2 * 86_400.0
"""What was due so long ago raises no alert: an old segment was evaluated again."""


class Overdue(NamedTuple):
    """What is due and has not come, with its alert."""

    expected: Expected
    alert: Alert


class Absences:
    """Knows what is expected.

    Args:
        rules: The rules.
        expectations: Returns where that is kept; called when there is something to keep, or to look for.
    """

    def __init__(self, rules: Iterable[Rule], expectations: Callable[[], Expectations]) -> None:
        compiled = [rule.compiled for rule in rules]
        by_name = Correlations((one, one.correlation) for one in compiled if one.correlation).by_name
        self._by_name = {name: one for name, one in by_name.items() if one.correlation.type == "absence"}
        self._expectations = expectations

    def __bool__(self) -> bool:
        """Whether anything can be expected."""
        return bool(self._by_name)

    def expect(self, seen: Sequence[GroupSeen], now: float) -> None:
        """Keep when events were seen that have to come again.

        Raises:
            StoreError: The store failed; the same may be kept again.
        """
        expected = [self._expected(of, runs[-1]) for of, runs in seen if of.rule in self._by_name]
        if kept := [one for one in expected if one.due_at > now - TOO_OLD_SECONDS]:
            self._expectations().expect(kept, now)

    def is_of_known_cluster(self, seen: GroupSeen) -> bool:
        """Return whether what a rule expects of each cluster names one.

        `vaultwatch.archive.segments` calls it `unknown` where a file does not name it; nothing would ever come again.
        """
        of, _ = seen
        one = self._by_name.get(of.rule)
        fields = one.group_by if one else ()
        return not any(name == "cluster" and value in ("", "unknown") for name, value in zip(fields, of.group))

    def overdue(self, now: float) -> list[Overdue]:
        """Return what is due and has not come: call `settle` with each once its alert is stored.

        What a rule expects that is not used any more is settled without an alert, and what it expects later, because it
        was changed, is expected then.

        Raises:
            StoreError: The store failed.
        """
        if not self._by_name:
            return []
        found = list[Overdue]()
        for expected in self._expectations().due(now):
            one = self._by_name.get(expected.rule)
            due_at = expected.run.ends + one.correlation.timespan_seconds if one else 0.0
            if one is None or len(expected.group) != len(one.correlation.group_by):
                self._expectations().settle_due(expected, now)
            elif due_at > now:
                later = Expected(expected.rule, expected.group, expected.run, due_at)
                self._expectations().expect([later], now)
            else:
                verdict = absence_verdict(one, Combination(expected.rule, expected.group), expected.run)
                found.append(Overdue(expected, alert_of(verdict)))
        return found

    def settle(self, overdue: Overdue, now: float) -> None:
        """Note that the alert on what is due is stored.

        Raises:
            StoreError: The store failed; the alert will be raised again, with the same id.
        """
        self._expectations().settle_due(overdue.expected, now)

    def _expected(self, of: Combination, run: Run) -> Expected:
        one = self._by_name[of.rule]
        kept = Run(run.begins, without_entry(run.last, one.facts.service))
        return Expected(*of, kept, run.ends + one.correlation.timespan_seconds)
