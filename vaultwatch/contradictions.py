"""What becomes of an alert whose id is known.

All records of an event show the same outcome, or none, and the same act: who did it, from where, on what. Whoever can
forge an entry of a request that is under way, with its id, could let it seem denied, or the act of somebody else, or of
nobody; so an act that succeeded, or another one, is an alert of its own, whatever was stored under its id.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from vaultwatch.alerts import Alert, alert_id
from vaultwatch.detection.windows import joined
from vaultwatch.reading.bounds import brief, distinct
from vaultwatch.reading.identity import Act, is_of_login, shown_namespace
from vaultwatch.reading.records import UNKNOWN_CLUSTER


def completes(alert: Alert, stored: Alert) -> bool:
    """Return whether an alert has the outcome that a stored one with its id lacks, and all that this one shows."""
    return stored.outcome == "unknown" and alert.outcome != "unknown" and _act(alert).agrees_with(_act(stored))


def contradicts(alert: Alert, stored: Alert) -> bool:
    """Return whether an alert shows another act than the stored one with its id, or that it was not denied."""
    return (stored.outcome == "failed" and alert.outcome == "succeeded") or _is_another_act(alert, stored)


def under_own_id(alert: Alert) -> Alert:
    """Return the alert with an id of its own, the same for each copy: also for one without the name of its cluster.

    It is never set apart again: two that share it differ in their clusters at most. No alert that is not set apart has
    such an id, whatever its event key: each is of a rule with a name.
    """
    own = (alert.rule, alert.id, "failed" if alert.outcome == "failed" else "", *_act(alert), *_things(alert)[1:])
    return replace(alert, id=alert_id("", joined(own)))


def _is_another_act(alert: Alert, stored: Alert) -> bool:
    """Return whether an alert of an audit entry shows another act, or more of it than the entries of one event differ.

    What a correlation counted grows, and its alert has no request.
    """
    if "request" not in alert.record:
        return False
    things = zip(_things(alert), _things(stored), strict=False)
    return not _act(stored).agrees_with(_act(alert)) or any(one and its and one != its for one, its in things)


def _act(alert: Alert) -> Act:
    """Return what all entries of the event show; without a caller, the principal is the address or the node."""
    is_unknown = alert.principal in (alert.remote_address, alert.node) or is_of_login(alert.record)
    caller = "" if is_unknown else alert.principal
    namespace = alert.namespace or distinct(shown_namespace(_object(alert.record.get("request"))))
    return Act(caller=caller, address=alert.remote_address, namespace=namespace, path=alert.path)


def _things(alert: Alert) -> tuple[str, ...]:
    """Return what a copy may lack, because its device hashes it, or because its record is cut."""
    cluster = "" if alert.cluster == UNKNOWN_CLUSTER else alert.cluster
    request, auth = _object(alert.record.get("request")), _object(alert.record.get("auth"))
    role = _object(auth.get("metadata")).get("role_name")
    names = () if is_of_login(alert.record) else (auth.get("display_name"), role)
    return cluster, *map(brief, (request.get("operation"), *names)), *alert.group_values


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
