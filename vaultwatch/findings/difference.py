"""What another set of rules changes: alerts that are new, gone, or different, by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from vaultwatch.findings.found import Finding
from vaultwatch.rules.facts import Level

Kind = Literal["new", "changed", "gone"]


class Difference(NamedTuple):
    """One alert that differs.

    Attributes:
        kind: How.
        alert: The alert; of one that changed, as it is now.
        before: The level and the title that it had, if it changed.
    """

    kind: Kind
    alert: Finding
    before: tuple[Level, str] | None = None


def differences(before: Iterable[Finding], after: Iterable[Finding]) -> Iterator[Difference]:
    """Yield the alerts that are new or changed, in the order of their time, then those that are gone.

    An alert has changed if it has another level or title; its id stays that of its rule and event.

    Args:
        before: The alerts of the former rules, which can be iterated twice.
        after: Those of the new ones.
    """
    had = {alert.id: (alert.level, alert.title) for alert in before}
    for alert in after:
        facts = had.pop(alert.id, None)
        if facts is None:
            yield Difference("new", alert)
        elif facts != (alert.level, alert.title):
            yield Difference("changed", alert, facts)
    yield from (Difference("gone", alert) for alert in before if alert.id in had)
