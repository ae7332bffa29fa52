"""Alerts of one rule, one principal and one namespace, as one answer: how often, when, on what, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from vaultwatch.findings.found import Finding, Source
from vaultwatch.printable import one_line, quoted
from vaultwatch.reading.identity import Outcome
from vaultwatch.rules.facts import Level, Service

MAX_GROUPS = 10_000
_MAX_VALUES = 1_000
OTHERS = "others"
_WEIGHT: dict[Outcome, int] = {"failed": 0, "unknown": 1, "succeeded": 2}
Key = tuple[str, str, str]


class Group(msgspec.Struct):
    """Alerts of one rule, principal and namespace.

    Attributes:
        title: What happened; of alerts that differ in it, the title of the first that succeeded, otherwise of the first
            without a response.
        level: The highest of the alerts' levels.
        who: The principal, with its name if it has one; of messages, the server.
        first: The time of the first alert, as logged.
        last: The time of the last alert.
        outcomes: How often each outcome occurred.
        paths: How often each path was used.
        addresses: How often each address was used.
        source: Where the first alert's record is.
        service: The log that the alerts come from.
        ended: The outcome of the one that `title` is of.
        counted: The sentence of the first alert of a rule that counts: how many, in what time, on what, since when.
    """

    rule: str
    title: str
    level: Level
    who: str
    namespace: str
    first: str
    last: str
    source: Source
    service: Service = "audit"
    count: int = 0
    ended: Outcome = "failed"
    counted: str = ""
    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    paths: Counter[str] = msgspec.field(default_factory=Counter)
    addresses: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def refused(self) -> bool:
        """Whether all of it was refused."""
        return self.ended == "failed"

    @property
    def by(self) -> str:
        """Who did it, in words; of a message, which server logged it."""
        if self.service == "server":
            return f"on {self.who or 'the server'}"
        return f"by {self.who}" if self.who else ""

    def add(self, alert: Finding) -> None:
        """Count one more alert, not earlier than the others."""
        self.count += 1
        self.last = alert.time or self.last
        if _WEIGHT[alert.outcome] > _WEIGHT[self.ended]:
            self.ended, self.title = alert.outcome, alert.title
        self.level = max(self.level, alert.level, key=lambda level: level.rank)
        if not self.counted and "counted" in alert.record:
            self.counted = alert.summary
        self.outcomes[alert.outcome] += 1
        count(self.paths, alert.path)
        count(self.addresses, alert.remote_address)


class Groups:
    """Collects groups."""

    def __init__(self) -> None:
        self._groups: dict[Key, Group] = {}

    def add(self, alert: Finding) -> None:
        """Count an alert, not earlier than the others."""
        key = self.key(alert)
        group = self._groups.get(key) or self._groups.setdefault(key, _new(alert, key[1]))
        group.add(alert)

    def key(self, alert: Finding) -> Key:
        """Return the key of an alert's group: rule, principal and namespace; beyond a bound, that of the others."""
        key = (alert.rule, alert.principal, alert.namespace)
        return key if key in self._groups or len(self._groups) < MAX_GROUPS else (alert.rule, OTHERS, "")

    def ordered(self) -> list[tuple[Key, Group]]:
        """Return the groups, the most important first: by level, then what was not refused, then by time."""
        return sorted(self._groups.items(), key=lambda item: (-item[1].level.rank, item[1].refused))


def grouped(alerts: Iterable[Finding]) -> list[Group]:
    """Return the groups of alerts, the most important first.

    Args:
        alerts: The alerts, in the order of their time.
    """
    groups = Groups()
    for alert in alerts:
        groups.add(alert)
    return [group for _, group in groups.ordered()]


def count(values: Counter[str], value: str) -> None:
    """Count a value; beyond a bound, new ones are counted as `others`."""
    if value:
        values[value if value in values or len(values) < _MAX_VALUES else OTHERS] += 1


def _new(alert: Finding, principal: str) -> Group:
    return Group(
        rule=alert.rule,
        title=alert.title,
        level=alert.level,
        who=OTHERS if principal == OTHERS else _who(alert),
        namespace=alert.namespace,
        first=alert.time,
        last=alert.time,
        source=alert.source,
        service=alert.service,
    )


def _who(alert: Finding) -> str:
    """Return who acted, or which server logged it; a text from the log is quoted unless it is a plain name."""
    name = alert.node if alert.service == "server" else alert.principal
    return alert.who or (quoted(one_line(name)) if name else "")
