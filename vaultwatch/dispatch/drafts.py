"""Notifications as they are stored: with ids of alerts, so that outcomes completed before sending are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Merged, Notification
from vaultwatch.dispatch.tallies import Tally
from vaultwatch.printable import encodable
from vaultwatch.reading.identity import Outcome
from vaultwatch.rules.facts import Level, Service

Find = Callable[[str], Alert | None]
"""Returns an alert by its id, None if it is no longer stored."""


class Head(msgspec.Struct, frozen=True):
    """The properties of a notification: those of its first alert, and the highest level."""

    rule: str
    title: str
    level: Level
    service: Service
    cluster: str


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A notification with its alerts and its counted groups by their ids."""

    id: str
    disposition: Disposition
    head: Head
    created_at: float
    group: str = ""
    alert_ids: tuple[str, ...] = ()
    merged: tuple[Tally, ...] = ()
    merged_count: int = 0


def head_of(alert: Alert, *others: Alert) -> Head:
    """Return the head of a notification of this alert, and of others with it."""
    level = max((one.level for one in (alert, *others)), key=lambda level: level.rank)
    return Head(alert.rule, alert.title, level, alert.service, encodable(alert.cluster))


def priority(draft: Draft) -> int:
    """Return a sort key for sending, -4 to 10: notifications for people first, then the highest level."""
    return (0 if draft.disposition in NOTIFIED else 10) - draft.head.level.rank


def alert_ids(draft: Draft) -> set[str]:
    """Return the ids of all alerts that `assemble` needs."""
    return {*draft.alert_ids, *(id_ for tally in draft.merged for id_ in _shown(tally))}


def assemble(draft: Draft, find: Find) -> Notification:
    """Return the notification with its alerts as they are stored now; one that is no longer stored is left out."""
    alerts = tuple(alert for alert in map(find, draft.alert_ids) if alert is not None)
    merged = tuple(one for tally in draft.merged if (one := _merged(tally, find)) is not None)
    lead = alerts[0] if alerts else merged[0].worst if merged else None
    head = draft.head if lead is None else head_of(lead, *alerts)
    return Notification(
        id=draft.id,
        disposition=draft.disposition,
        rule=head.rule,
        title=head.title,
        level=head.level,
        service=head.service,
        cluster=head.cluster,
        created_at=draft.created_at,
        group=draft.group,
        alerts=alerts,
        merged=merged,
        merged_count=draft.merged_count,
    )


def _merged(tally: Tally, find: Find) -> Merged | None:
    alerts = tuple(replace(alert, record={}, actions=()) for alert in map(find, _shown(tally)) if alert is not None)
    if not alerts:
        return None
    return Merged(
        group=tally.group,
        count=tally.count,
        first_time=tally.first_time,
        last_time=tally.last_time,
        outcomes=_outcomes(tally, alerts),
        announced=tally.announced,
        alerts=alerts,
    )


def _outcomes(tally: Tally, alerts: Sequence[Alert]) -> dict[Outcome, int]:
    """Return how many alerts had which outcome; if all are at hand, as they are stored now.

    The tally counted an alert without a response as `unknown`, also if the response has completed it since.
    """
    stored = {alert.id: alert.outcome for alert in alerts}
    return dict(Counter(stored.values())) if len(stored) == tally.count else tally.outcomes


def _shown(tally: Tally) -> tuple[str, ...]:
    """Return the ids of the alerts to show: the worst, those with a new trait, and the latest."""
    novel = tuple(id_ for id_ in tally.novel if id_ not in (tally.worst, tally.latest))
    if tally.worst == tally.latest and not novel:
        return (tally.latest,)
    return (tally.worst, *novel, tally.latest)
