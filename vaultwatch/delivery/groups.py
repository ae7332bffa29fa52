"""Which group an alert belongs to, and for how long the group is quiet once it was told of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from vaultwatch.alerts import Alert, Level
from vaultwatch.store import Filing
from vaultwatch.store.encoding import encodable

QUIET_SECONDS: Mapping[Level, float] = {
    Level.CRITICAL: 300.0,
    Level.HIGH: 900.0,
    Level.MEDIUM: 3600.0,
    Level.LOW: 3600.0,
    Level.INFORMATIONAL: 3600.0,
}


def file_alert(alert: Alert, quiet_seconds: Mapping[Level, float] = QUIET_SECONDS) -> Filing:
    """What the store needs to know of an alert to count it."""
    return Filing(alert, group_key(alert), quiet_seconds[alert.level], is_told(alert))


def is_told(alert: Alert) -> bool:
    """Whether people hear of alerts like this one; staged and informational ones are stored only."""
    return not alert.staged and alert.level is not Level.INFORMATIONAL


def group_key(alert: Alert) -> str:
    """32 hex digits over rule, principal and namespace, and for levels high and critical the path."""
    path = alert.path if alert.level.rank >= Level.HIGH.rank else ""
    parts = [encodable(part) for part in (alert.rule, alert.principal, alert.namespace, path)]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
