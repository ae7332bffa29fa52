"""Which group an alert belongs to, and for how long the group is quiet once it was told of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import Filing
from vaultwatch.encoding import encodable
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Level

WINDOW_SECONDS: Mapping[Level, float] = {
    Level.CRITICAL: 300.0,
    Level.HIGH: 900.0,
    Level.MEDIUM: 3600.0,
    Level.LOW: 3600.0,
    Level.INFORMATIONAL: 3600.0,
}


def file_alert(alert: Alert, window_seconds: Mapping[Level, float] = WINDOW_SECONDS) -> Filing:
    """What the store needs to know of an alert to count it."""
    return Filing(alert, group_key(alert), window_seconds[alert.level], is_told(alert))


def file_late(alert: Alert, now: float, live_since: Mapping[str, float], remembered_seconds: float) -> Filing:
    """How an alert found in the archive is counted: marked late, and only summed up if it is of long ago.

    Of long ago is what is older than our memory of alerts, or than its rule.
    """
    filing = file_alert(replace(alert, late=True))
    moment = parse_time(alert.time)
    since = max(now - remembered_seconds, live_since.get(alert.rule, 0.0))
    return replace(filing, summed=moment is not None and moment.timestamp() < since)


def is_told(alert: Alert) -> bool:
    """Whether people hear of alerts like this one; staged and informational ones are stored only."""
    return not alert.staged and alert.level is not Level.INFORMATIONAL


def window_seconds(alert: Alert) -> float:
    """How long the alert's group is suppressed once it was notified: the rule's own time, else that of its level."""
    return WINDOW_SECONDS[alert.level] if alert.window_seconds is None else float(alert.window_seconds)


def group_key(alert: Alert) -> str:
    """32 hex digits over rule, principal and namespace, and for levels high and critical the path."""
    path = alert.path if alert.level.rank >= Level.HIGH.rank and not alert.group_values else ""
    parts = [encodable(part) for part in (alert.rule, alert.principal, alert.namespace, path)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
