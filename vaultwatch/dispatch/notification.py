"""The input and the output of dispatch: filings and notifications."""

from __future__ import annotations

from typing import Literal

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.reading.identity import Outcome
from vaultwatch.rules.facts import Level, Service

Disposition = Literal["first", "summary", "suppressed", "staged"]
NOTIFIED: frozenset[Disposition] = frozenset({"first", "summary"})
ALL_DISPOSITIONS: frozenset[Disposition] = frozenset({"first", "summary", "suppressed", "staged"})


class Filing(msgspec.Struct, frozen=True):
    """An alert with what dispatch needs to decide about it.

    `notify` is false if people are never notified of it. With `is_each` it is notified although others of its group
    were, as far as the limits allow. A `deferred` alert, which is an old one from the archive, only
    appears in its rule's next summary.
    """

    alert: Alert
    group: str
    window_seconds: float
    notify: bool
    deferred: bool = False
    is_each: bool = False


class Recorded(msgspec.Struct, frozen=True):
    """The result for one filing: `new` if its id was unknown, and the disposition with which it was published.

    `completed` if it added the outcome to an alert that was stored without one.
    """

    alert_id: str
    new: bool
    disposition: Disposition = "suppressed"
    completed: bool = False


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """One alert group that a notification counts.

    Attributes:
        count: How many of its alerts are in no other notification.
        first_time: The time of the first of them, as logged.
        last_time: The time of the last of them, as logged.
        outcomes: How many of them had which outcome.
        alerts: At most 4 of them, without `record` and `actions`: the worst first, the latest last, and between them
            those with a new path, address or outcome.
        announced: Whether an earlier notification has shown this group.
    """

    group: str
    count: int
    first_time: str
    last_time: str
    outcomes: dict[Outcome, int]
    announced: bool
    alerts: tuple[Alert, ...]

    @property
    def worst(self) -> Alert:
        """The most important alert: one that succeeded before one that was denied, then by level."""
        return self.alerts[0]

    @property
    def latest(self) -> Alert:
        """The most recent alert."""
        return self.alerts[-1]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification, or the publication of an alert that notifies nobody; the same for every sink.

    `alerts` are new alerts of one event, or of acts of one principal under one rule, the most important first.
    `merged_count` is the exact number of further alerts that it counts; `merged` lists at most 20 of their groups, the
    worst first. `rule`, `title`, `level`, `service` and `cluster` are those of its most important alert, and `group` is
    the key of that alert's group; a summary of several groups has no `group`. `note` is its last sentence, if that is
    not how long repeats are suppressed.
    """

    id: str
    disposition: Disposition
    rule: str
    title: str
    level: Level
    service: Service
    cluster: str
    created_at: float
    group: str = ""
    alerts: tuple[Alert, ...] = ()
    merged: tuple[Merged, ...] = ()
    merged_count: int = 0
    note: str = ""
