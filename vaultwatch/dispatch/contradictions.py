"""What becomes of an alert whose id is known.

All records of an event show the same outcome, or none, and the same act: who did it, from where, on what. Whoever can
forge an entry of a request that is under way, with its id, could let it seem denied, or the act of somebody else; so an
act that succeeded, or another one, is an alert of its own, whatever was stored under its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from vaultwatch.alerts import Alert, alert_id
from vaultwatch.dispatch.notification import Filing


def completes(alert: Alert, stored: Alert) -> bool:
    """Return whether an alert has the outcome that a stored one with its id lacks."""
    return stored.outcome == "unknown" and alert.outcome != "unknown"


def contradicts(alert: Alert, stored: Alert) -> bool:
    """Return whether an alert shows another act than the stored one with its id, or that it was not denied."""
    return (stored.outcome == "failed" and alert.outcome == "succeeded") or _is_another_act(alert, stored)


def under_own_id(filing: Filing) -> Filing:
    """Return the filing with an id of its own, the same each time."""
    alert = filing.alert
    own = (alert.id, "failed" if alert.outcome == "failed" else "", *_act(alert))
    return replace(filing, alert=replace(alert, id=alert_id(alert.rule, "\0".join(own))))


def set_apart(events: Sequence[Sequence[Filing]], stored: Mapping[str, Alert]) -> list[list[Filing]]:
    """Return events with ids of their own for alerts that contradict a stored one, or one before them.

    Args:
        events: The filings of each event, in their order.
        stored: The stored alerts, by id.
    """
    known = dict(stored)
    return [[_set_apart(filing, known) for filing in event] for event in events]


def _set_apart(filing: Filing, known: dict[str, Alert]) -> Filing:
    alert = filing.alert
    first = known.setdefault(alert.id, alert)
    if contradicts(alert, first):
        return under_own_id(filing)
    if completes(alert, first):
        known[alert.id] = alert
    return filing


def _is_another_act(alert: Alert, stored: Alert) -> bool:
    """Return whether two alerts of audit entries name different acts; what one of them lacks is no difference.

    What a correlation counted grows, and its alert has no request.
    """
    if "request" not in alert.record:
        return False
    return any(one and other and one != other for one, other in zip(_act(alert), _act(stored), strict=True))


def _act(alert: Alert) -> tuple[str, str, str, str]:
    """Return who did it, from where, in which namespace, on what; without a caller, the principal is the address."""
    caller = "" if alert.principal in (alert.remote_address, alert.node) else alert.principal
    return caller, alert.remote_address, alert.namespace, alert.path
