"""Alerts for the tests of dispatch, store and notify, and short functions to file and to settle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaultwatch.alerts import Alert, alert_id
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.dispatch.notification import Filing, Recorded
from vaultwatch.rules.facts import Level
from vaultwatch.store import Store


def an_alert(event: str = "e1", **changes: Any) -> Alert:
    """Return an alert of level high about an event; `changes` are fields of `Alert`."""
    fields: dict[str, Any] = {
        "rule": "audit_root_policy_used",
        "title": "Root policy used",
        "level": Level.HIGH,
        "service": "audit",
        "time": "2024-05-06T07:08:09.123456Z",
        "event_key": event,
        "outcome": "succeeded",
        "summary": "alice read secret/data/app with the root policy",
        "principal": "alice",
        "path": "secret/data/app",
        "namespace": "root",
        "remote_address": "192.0.2.7",
        "cluster": "prod",
        "node": "vault-1",
        "lane": "file",
        "actions": ("vault token revoke -accessor abc",),
        "record": {"type": "response"},
    } | changes
    return Alert(id=alert_id(fields["rule"], event), **fields)


def a_filing(event: str = "e1", **changes: Any) -> Filing:
    """Return the filing of such an alert."""
    return file_alert(an_alert(event, **changes))


def record(store: Store, filings: Sequence[Filing], now: float) -> list[Recorded]:
    """File these, and return the result of each."""
    return store.file(filings, now).recorded


def settle(store: Store, now: float) -> float | None:
    """Close windows and make summaries that are due, and return when there is more to do."""
    store.settle(now)
    return store.next_due(now)
