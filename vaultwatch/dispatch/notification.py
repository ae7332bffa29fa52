"""What dispatch decides about: filings go in, notifications come out."""

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
    """An alert with what is needed to decide about it.

    `notify` is false if people are never notified of it. With `deferred` they see it in its rule's next summary only:
    an old alert found in the archive.
    """

    alert: Alert
    group: str
    window_seconds: float
    notify: bool
    deferred: bool = False


class Recorded(msgspec.Struct, frozen=True):
    """What became of one filing: `new` if its id was not known, and with which disposition it was published.

    `completed` if it brought the outcome that the stored alert lacked.
    """

    alert_id: str
    new: bool
    disposition: Disposition = "suppressed"
    completed: bool = False


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """One alert group among those that a notification counts.

    `count` of its alerts are in no other notification: they are dated `first_time` to `last_time` (as logged), and
    `outcomes` says how many of them ended how. `alerts`, without `record` and `actions`, are at most 4 of them: the
    worst first, the latest last, between them those that showed a new path, address or outcome. `announced` is false
    if no notification has shown this group before.
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
        """The alert that matters most: one that succeeded before one that was denied, then by level."""
        return self.alerts[0]

    @property
    def latest(self) -> Alert:
        """The most recent alert."""
        return self.alerts[-1]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to notify of or to publish, the same for every sink.

    `alerts` are new, of one event, the highest level first. `merged_count` is the exact number of alerts it counts
    beside those; `merged` lists at most 20 of their groups, the worst first. `rule`, `title`, `level`, `service`,
    `cluster` are those of its most important alert, `group` the key of that alert's group; a summary of several groups
    has no `group`.
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
