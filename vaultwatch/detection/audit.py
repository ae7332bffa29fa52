"""Evaluate audit entries. A match on a request waits for its response, which shows how the request ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.evaluator import Evaluator
from vaultwatch.detection.verdict import Verdict, completed, on_entry, on_silenced
from vaultwatch.detection.waiting import Waiting
from vaultwatch.reading.identity import act_of, audit_event_key, is_response
from vaultwatch.reading.records import AuditEntry
from vaultwatch.reading.view import View, as_logged, audit_view, partial_audit_view
from vaultwatch.rules.index import Rules
from vaultwatch.rules.pack import Rule


class AuditDetector:
    """Evaluates audit entries; `waiting` holds the verdicts on requests without a response."""

    def __init__(
        self,
        evaluator: Evaluator,
        waiting: Waiting,
        on_waiting: Callable[[Sequence[Verdict]], None],
        of_secrets: Rules,
        correlator: Correlator,
    ) -> None:
        self.waiting = waiting
        self._evaluator = evaluator
        self._on_waiting = on_waiting
        self._of_secrets = of_secrets
        self._correlator = correlator

    def evaluate(self, entry: AuditEntry, rules: Rules, now: float) -> list[Verdict]:
        """Evaluate one entry against rules, and return the verdicts that are complete.

        A rule that only counts what is silenced does not wait for a response: it would take the place of one that does.

        Args:
            entry: The entry.
            rules: The rules that could match it. If one does, the rules on secrets in clear are tried as well.
            now: Seconds on the caller's clock.
        """
        key = audit_event_key(entry.fields)
        view, matching = self._matching_partial(entry, rules) if entry.partial else self._matching(entry, rules, key)
        view = as_logged(view, entry)
        alerting, counted = self._correlator.take(matching, view, key, view.get("time"), entry.origin)
        facts = [rule.compiled for rule in alerting]
        verdicts = [on_entry(one, entry, view, key) for one in facts if not one.silenced_by]
        counted += [on_silenced(one, view, key, entry.origin, view.get("time")) for one in facts if one.silenced_by]
        if is_response(entry.fields) or view["outcome"] == "failed":
            return self._answer(key, entry, view, verdicts) + counted
        return (self._wait(key, verdicts, now) if verdicts else []) + counted

    def _matching(self, entry: AuditEntry, rules: Rules, key: str) -> tuple[View, list[Rule]]:
        asks_secrets = any(rule.asks_secrets for rule in rules)
        view = audit_view(entry, self._evaluator.zone, with_secrets=asks_secrets)
        matching = self._evaluator.matching(rules, view)
        if not asks_secrets and self._of_secrets and self._raises_alerts(matching, key):
            view = audit_view(entry, self._evaluator.zone)
            matching += self._evaluator.matching(self._of_secrets, view)
        return view, matching

    def _raises_alerts(self, matching: Sequence[Rule], key: str) -> bool:
        """Return whether a rule matches an entry, or the request that it answers, and is not silenced or just counted.

        With the index, what is just counted is not read to its end.
        """
        silent = self._correlator.correlations.silent
        loud = (rule for rule in matching if rule.name not in silent)
        return bool(self.waiting.of(key)) or any(not rule.compiled.silenced_by for rule in loud)

    def _matching_partial(self, entry: AuditEntry, rules: Rules) -> tuple[View, list[Rule]]:
        view, partial_view = audit_view(entry, self._evaluator.zone), partial_audit_view(entry, self._evaluator.zone)
        all_rules = dict.fromkeys((*rules, *self._of_secrets))
        return view, self._evaluator.matching_partial(all_rules, view, partial_view)

    def _answer(self, key: str, entry: AuditEntry, view: View, verdicts: list[Verdict]) -> list[Verdict]:
        """Return what waited for this response, completed; a forged request with its id goes on waiting."""
        waiting = self.waiting.of(key)
        if not waiting:
            return verdicts
        act = act_of(entry)
        waited = [verdict for verdict in waiting if verdict.act.agrees_with(act)]
        known = {verdict.rule.name for verdict in waited}
        out = [completed(verdict, entry, view) for verdict in waited]
        self.waiting.remove(key, waited)
        return out + [verdict for verdict in verdicts if verdict.rule.name not in known]

    def _wait(self, key: str, verdicts: list[Verdict], now: float) -> list[Verdict]:
        """Let verdicts wait, and return what does not: of one event and rule, only one act waits, the first."""
        acts = {verdict.rule.name: verdict.act for verdict in self.waiting.of(key)}
        others = [one for one in verdicts if one.rule.name in acts and not acts[one.rule.name].agrees_with(one.act)]
        if new := self.waiting.add(key, verdicts, now):
            self._on_waiting(new)
        return others + self.waiting.excess()
