"""Notifications for the tests of notify."""

from __future__ import annotations

from typing import Any

from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import group_key
from vaultwatch.dispatch.notification import Merged, Notification

LOGGED = ("time", "summary", "principal", "who", "path", "namespace", "remote_address", "error", "cluster", "node")
"""The texts of an alert that come from a log."""


def a_message(*alerts: Alert, merged: tuple[Merged, ...] = (), **changes: Any) -> Notification:
    """A `first` of these alerts, or of one about `e1`."""
    carried = alerts or (an_alert(),)
    head = carried[0]
    fields: dict[str, Any] = {
        "id": head.id,
        "disposition": "first",
        "rule": head.rule,
        "title": head.title,
        "level": head.level,
        "service": head.service,
        "cluster": head.cluster,
        "created_at": 1_700_000_000.0,
        "alerts": carried,
        "merged": merged,
        "merged_count": sum(one.count for one in merged),
    }
    return Notification(**(fields | changes))


def a_group(event: str = "e1", count: int = 3, **changes: Any) -> Merged:
    """So many alerts of one group, over an hour; the one about the event is the latest and the worst."""
    alert = an_alert(event, record={}, actions=(), **changes)
    return Merged(
        group=group_key(alert),
        count=count,
        first_time="2024-05-06T06:08:09.123456Z",
        last_time=alert.time,
        outcomes={alert.outcome: count},
        announced=True,
        alerts=(alert,),
    )


def a_summary(groups: int = 3, left_out: int = 0) -> Notification:
    """A summary of that many groups of three alerts, and of some alerts in groups that are not listed."""
    merged = tuple(a_group(f"e{n}", principal=f"p{n}") for n in range(groups))
    return a_message(merged=merged, disposition="summary", alerts=(), merged_count=3 * groups + left_out)
