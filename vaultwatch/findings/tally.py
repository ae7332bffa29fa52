"""Who and where: how many calls, refusals and alerts each caller, address and mount has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.findings.calls import Call, mount_of_request
from vaultwatch.findings.groups import OTHERS
from vaultwatch.printable import one_line, quoted

_MAX_NAMES = 10_000
_MOST_NAMED = 5


class Use(msgspec.Struct):
    """How often something was used: calls, those that were denied or failed, and alerts."""

    calls: int = 0
    refused: int = 0
    alerts: int = 0

    def add(self, other: Use) -> None:
        """Add another one's numbers."""
        self.calls += other.calls
        self.refused += other.refused
        self.alerts += other.alerts


class Uses(msgspec.Struct):
    """The uses of everything of one kind by its name; beyond a bound, new names are counted as `others`."""

    by_name: dict[str, Use] = msgspec.field(default_factory=dict)

    def of(self, name: str) -> Use:
        """Return the use of a name, to count in it."""
        found = self.by_name.get(name)
        if found is None:
            key = name if len(self.by_name) < _MAX_NAMES else OTHERS
            found = self.by_name.setdefault(key, Use())
        return found

    def add(self, other: Uses) -> None:
        """Add another one's numbers."""
        for name, use in other.by_name.items():
            self.of(name).add(use)

    def top(self, limit: int) -> tuple[list[tuple[str, Use]], Use, int]:
        """Return those with the most alerts, refusals and calls; the sum of the rest, and how many names it has.

        Args:
            limit: How many are returned by name.
        """
        order = sorted(self.by_name.items(), key=lambda item: _importance(*item))
        rest = Use()
        for _, use in order[limit:]:
            rest.add(use)
        return order[:limit], rest, len(order[limit:])


class Tally(msgspec.Struct):
    """All uses in the logs of a run, by caller, address and mount. Tallies of parts can be added."""

    total: Use = msgspec.field(default_factory=Use)
    callers: Uses = msgspec.field(default_factory=Uses)
    addresses: Uses = msgspec.field(default_factory=Uses)
    mounts: Uses = msgspec.field(default_factory=Uses)

    def count(self, call: Call) -> None:
        """Count a call, unless another entry of the log shows how it ended."""
        if call.counts:
            here = (self.callers.of(call.who), self.addresses.of(call.address), self.mounts.of(call.mount))
            for use in (self.total, *here):
                use.calls += 1
                use.refused += call.refused

    def count_alerts(self, alerts: Iterable[Alert]) -> None:
        """Count alerts by what they name: messages of the server log have no caller, and correlations may have none."""
        for alert in alerts:
            if alert.service == "audit":
                mount = mount_of_request(_object(alert.record.get("request")))
                self.total.alerts += 1
                for uses, name in (
                    (self.callers, alert.who),
                    (self.addresses, alert.remote_address),
                    (self.mounts, mount),
                ):
                    if name:
                        uses.of(name).alerts += 1

    def add(self, other: Tally) -> None:
        """Add the numbers of another part of the logs."""
        self.total.add(other.total)
        self.callers.add(other.callers)
        self.addresses.add(other.addresses)
        self.mounts.add(other.mounts)


def who_and_where(tally: Tally) -> Iterator[str]:
    """Yield a line each for the callers, addresses and mounts that alerts are about, those with most alerts first."""
    for label, uses in (("by", tally.callers), ("from", tally.addresses), ("on", tally.mounts)):
        found, _, others = uses.top(_MOST_NAMED)
        shown = one_line if uses is tally.callers else _quoted  # a caller is written as in a sentence already
        named = [f"{shown(name)} ({use.alerts:,})" for name, use in found]
        if named:
            yield one_line(f"{f'Alerts {label}':13} {', '.join(named)}{f' and {others:,} more' if others else ''}")


def _quoted(name: str) -> str:
    return quoted(one_line(name))


def _importance(name: str, use: Use) -> tuple[bool, int, int, int, str]:
    return name == OTHERS, -use.alerts, -use.refused, -use.calls, name


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
