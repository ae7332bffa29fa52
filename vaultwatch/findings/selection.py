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

    def takes(self, alert: Alert) -> bool:
        """Return whether an alert is shown."""
        callers = alert.principal, alert.who, alert.remote_address
        return self._takes(alert.rule, alert.level, alert.time) and self._takes_caller(callers)

    def would_take(self, verdict: Verdict) -> bool:
        """Return whether the alert would be shown that a silenced match would have raised."""
        return self._takes(verdict.rule.silenced_rule, level_of(verdict), verdict.time) and (
            not self.principal or self._takes_caller(callers_of(verdict))
        )

    def _takes(self, rule: str, level: Level, time: str) -> bool:
        return level.rank >= self.level.rank and self.takes_rule(rule) and self._takes_time(time)

    def _takes_caller(self, callers: Iterable[str]) -> bool:
        wanted = self.principal.casefold()
        return any(wanted in text.casefold() for text in callers)

    def _takes_time(self, text: str) -> bool:
        time = parse_time(text) if self.since or self.until else None
        if time is None:
            return True
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
