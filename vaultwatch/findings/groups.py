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


class Group(msgspec.Struct):
    """Alerts of one rule, principal and namespace.

    Attributes:
        title: What happened; of alerts that differ in it, the title of one that was not refused.
        level: The highest of the alerts' levels.
        who: The principal, with its name if it has one.
        first: The time of the first alert, as logged.
        last: The time of the last alert.
        outcomes: How often each outcome occurred.
        paths: How often each path was used.
        addresses: How often each address was used.
        source: Where the first alert's record is.
        service: The log that the alerts come from.
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
    refused: bool = True
    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    paths: Counter[str] = msgspec.field(default_factory=Counter)
    addresses: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, alert: Finding) -> None:
        """Count one more alert, not earlier than the others."""
        self.count += 1
        self.last = alert.time or self.last
        if self.refused and alert.outcome != "failed":
            self.refused, self.title = False, alert.title
        self.level = max(self.level, alert.level, key=lambda level: level.rank)
        self.outcomes[alert.outcome] += 1
        count(self.paths, alert.path)
        count(self.addresses, alert.remote_address)


def grouped(alerts: Iterable[Finding]) -> list[Group]:
    """Return the groups of alerts, the most important first: by level, then what was not refused, then by time.

    Args:
        alerts: The alerts, in the order of their time.
    """
    found: dict[tuple[str, str, str], Group] = {}
    for alert in alerts:
        key = (alert.rule, alert.principal, alert.namespace)
        if key not in found and len(found) >= MAX_GROUPS:
            key = (alert.rule, OTHERS, "")
        group = found.get(key) or found.setdefault(key, _new(alert, key[1]))
        group.add(alert)
    return sorted(found.values(), key=lambda group: (-group.level.rank, group.refused))


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
    """Return who acted; a text from the log is quoted unless it is a plain name."""
    if alert.who or not alert.principal:
        return alert.who
    return quoted(one_line(alert.principal))
