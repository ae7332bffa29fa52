"""Which alerts a user wants to see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from vaultwatch.alerts import Alert, callers_of, level_of
from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Level


class Selection(msgspec.Struct, frozen=True):
    """What an alert must be in order to be shown.

    Attributes:
        level: Its lowest level.
        rules: Patterns for the name of its rule, of which one must match; any rule if there are none.
        excluded: Patterns for the name of its rule, of which none may match.
        since: Its earliest time. An alert without a time is always shown.
        until: The time before which it must be.
        principal: Part of the caller's name, id or address, in any case.
    """

    level: Level = Level.LOW
    rules: Sequence[str] = ()
    excluded: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    principal: str = ""

    def takes_rule(self, name: str) -> bool:
        """Return whether alerts of this rule are shown."""
        return (not self.rules or _matches(name, self.rules)) and not _matches(name, self.excluded)

    def hidden_by(self, alert: Alert) -> str:
        """Return the first option because of which an alert is not shown; "" if it is shown."""
        callers = alert.principal, alert.who, alert.remote_address
        hidden = self._hidden_by(alert.rule, alert.level, alert.time)
        return hidden or ("" if self._takes_caller(callers) else "--principal")

    def would_take(self, verdict: Verdict) -> bool:
        """Return whether the alert would be shown that a silenced match would have raised."""
        return not self._hidden_by(verdict.rule.silenced_rule, level_of(verdict), verdict.time) and (
            not self.principal or self._takes_caller(callers_of(verdict))
        )

    def _hidden_by(self, rule: str, level: Level, time: str) -> str:
        if level.rank < self.level.rank:
            return "--level"
        if not self.takes_rule(rule):
            return "--exclude" if _matches(rule, self.excluded) else "--rule"
        return self._hidden_by_time(time)

    def _takes_caller(self, callers: Iterable[str]) -> bool:
        wanted = self.principal.casefold()
        return any(wanted in text.casefold() for text in callers)

    def _hidden_by_time(self, text: str) -> str:
        time = parse_time(text) if self.since or self.until else None
        if time is None:
            return ""
        if self.since and time < self.since:
            return "--since"
        return "--until" if self.until and time >= self.until else ""


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
