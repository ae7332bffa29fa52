"""Messages for the tests of delivery."""

from __future__ import annotations

from typing import Any

from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import Merged, Notification


def a_message(*alerts: Alert, merged: tuple[Merged, ...] = (), **changes: Any) -> Notification:
    """A `first` of these alerts, or of one about `e1`."""
    told = alerts or (an_alert(),)
    head = told[0]
    fields: dict[str, Any] = {
        "id": head.id,
        "disposition": "first",
        "rule": head.rule,
        "title": head.title,
        "level": head.level,
        "service": head.service,
        "cluster": head.cluster,
        "created_at": 1_700_000_000.0,
        "alerts": told,
        "merged": merged,
        "merged_firsts": sum(m.firsts for m in merged),
        "merged_followed": sum(m.followed for m in merged),
    }
    return Notification(**(fields | changes))


def a_summary(groups: int = 3, left_out: int = 0) -> Notification:
    """A summary of that many groups, one first and two that followed in each, and of some that are not listed."""
    merged = tuple(Merged(an_alert(f"e{n}", principal=f"p{n}"), 1, 2) for n in range(groups))
    return a_message(merged=merged, disposition="summary", alerts=(), merged_followed=2 * groups + left_out)
