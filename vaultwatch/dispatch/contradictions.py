"""What becomes of an alert whose id is known.

All records of an event show the same outcome, or none. Whoever can forge an entry of a request that is under way, with
its id, could let it seem denied; so an act that succeeded is an alert of its own, whatever was stored under its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from vaultwatch.alerts import Alert, alert_id
from vaultwatch.dispatch.notification import Filing
from vaultwatch.reading.identity import Outcome


def completes(alert: Alert, stored: Outcome) -> bool:
    """Return whether an alert has the outcome that a stored one with its id lacks."""
    return stored == "unknown" and alert.outcome != "unknown"


def contradicts(alert: Alert, stored: Outcome) -> bool:
    """Return whether an alert shows that an act succeeded that is stored as denied."""
    return stored == "failed" and alert.outcome == "succeeded"


def under_own_id(filing: Filing) -> Filing:
    """Return the filing with an id of its own, the same each time."""
    alert = filing.alert
    return replace(filing, alert=replace(alert, id=alert_id(alert.rule, f"{alert.id}\0{alert.outcome}")))


def set_apart(events: Sequence[Sequence[Filing]], stored: Mapping[str, Outcome]) -> list[list[Filing]]:
    """Return events with ids of their own for alerts that contradict a stored one, or one before them.

    Args:
        events: The filings of each event, in their order.
        stored: The outcomes of stored alerts, by id.
    """
    outcomes = dict(stored)
    return [[_set_apart(filing, outcomes) for filing in event] for event in events]


def _set_apart(filing: Filing, outcomes: dict[str, Outcome]) -> Filing:
    alert = filing.alert
    known = outcomes.setdefault(alert.id, alert.outcome)
    if contradicts(alert, known):
        return under_own_id(filing)
    if completes(alert, known):
        outcomes[alert.id] = alert.outcome
    return filing
