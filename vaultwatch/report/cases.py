"""The alerts of a report: its most important groups in detail, all others as counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from vaultwatch.alerts import REFUSED, runbook_lines
from vaultwatch.audience import Audience
from vaultwatch.findings.found import Finding
from vaultwatch.findings.groups import Group, Groups, Key
from vaultwatch.reading.identity import Outcome
from vaultwatch.report.times import Times, seconds_of
from vaultwatch.rules.facts import Level

MOST_GROUPS = 200
MOST_ALERTS = 5_000
_MOST_OF_A_GROUP = 1_000
_MOST_USES = 100
_MOST_COMMANDS = 5


class Use(msgspec.Struct):
    """How often a path was used from an address with an outcome, and when: times as logged."""

    first: str
    last: str
    count: int = 0


UseKey = tuple[str, str, Outcome]
"""Path, address and outcome."""


class Case(msgspec.Struct):
    """A group in detail.

    Attributes:
        group: Its counts.
        limit: How many of its alerts are listed.
        search: The command that shows the entries of its first alert; "" if there is none.
        runbook: What to do.
        commands: The commands that revoke tokens, of the first alerts that have some.
        uses: What was used; beyond a bound, new ones are counted in `other_uses`.
        alerts: The first alerts.
    """

    group: Group
    limit: int
    search: str = ""
    runbook: tuple[str, ...] = ()
    commands: list[str] = msgspec.field(default_factory=list)
    uses: dict[UseKey, Use] = msgspec.field(default_factory=dict)
    other_uses: int = 0
    alerts: list[Finding] = msgspec.field(default_factory=list)

    def add(self, alert: Finding, steps: int, place: str) -> None:
        """Add an alert, not earlier than the others.

        Args:
            alert: The alert.
            steps: How many lines the rule's runbook has, which its actions begin with, behind `REFUSED`.
            place: Where its log is found again, for a shell; "" if nowhere.
        """
        is_refused = alert.actions[:1] == (REFUSED,)
        steps += is_refused
        if not self.alerts:
            self.runbook = alert.actions[is_refused and not self.group.refused : steps]
            self.search = Audience(place=place).search_command(alert)
        if len(self.alerts) < self.limit:
            self.alerts.append(msgspec.structs.replace(alert, record={}, actions=()))
        new = [action for action in alert.actions[steps:] if action not in self.commands]
        self.commands += new[: _MOST_COMMANDS - len(self.commands)]
        self._use(alert)

    def _use(self, alert: Finding) -> None:
        key = (alert.path, alert.remote_address, alert.outcome)
        use = self.uses.get(key)
        if use is None and len(self.uses) >= _MOST_USES:
            self.other_uses += 1
            return
        use = use or self.uses.setdefault(key, Use(alert.time, alert.time))
        use.count, use.last = use.count + 1, alert.time


class Cases(msgspec.Struct):
    """All alerts.

    Attributes:
        shown: The most important groups.
        others: The other groups, only counted.
        levels: When there were alerts, by level.
        hits: How many alerts each rule has.
    """

    shown: list[Case]
    others: list[Group]
    levels: dict[Level, Times]
    hits: dict[str, int]

    def groups(self, level: Level) -> int:
        """Return how many groups of a level there are."""
        return sum(group.level == level for group in self._all())

    def alerts(self, level: Level) -> int:
        """Return how many alerts of a level there are."""
        return self.levels[level].total + self.levels[level].without

    @property
    def total(self) -> int:
        """How many alerts there are."""
        return sum(self.hits.values())

    def _all(self) -> list[Group]:
        return [case.group for case in self.shown] + self.others


def cases(alerts: Iterable[Finding], runbooks: Mapping[str, str], place: Callable[[str], str]) -> Cases:
    """Return the alerts of a report.

    Args:
        alerts: The alerts in the order of their time; they are read twice.
        runbooks: The runbook of each rule.
        place: Returns where a log is found again, for a shell.
    """
    groups, levels, hits = Groups(), {level: Times() for level in Level}, dict.fromkeys(runbooks, 0)
    for alert in alerts:
        groups.add(alert)
        levels[alert.level].add(seconds_of(alert.time))
        hits[alert.rule] = hits.get(alert.rule, 0) + 1
    ordered = groups.ordered()
    shown = _limited(ordered[:MOST_GROUPS])
    for alert in alerts if shown else ():
        if case := shown.get(groups.key(alert)):
            case.add(alert, len(runbook_lines(runbooks.get(alert.rule, ""))), place(alert.source.file))
    return Cases(list(shown.values()), [group for _, group in ordered[MOST_GROUPS:]], levels, hits)


def _limited(groups: Iterable[tuple[Key, Group]]) -> dict[Key, Case]:
    """Return the cases, each with the number of alerts that it may list: the important ones take first."""
    left, found = MOST_ALERTS, dict[Key, Case]()
    for key, group in groups:
        limit = min(group.count, _MOST_OF_A_GROUP, left)
        found[key] = Case(group, limit)
        left -= limit
    return found
