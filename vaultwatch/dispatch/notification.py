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
    """An alert with what the store needs to count it.

    `told` is false where people never hear of it; with `summed` they hear of it in its rule's next summary only,
    as of an old one found in the archive.
    """

    alert: Alert
    group: str
    window_seconds: float
    told: bool
    summed: bool = False


class Recorded(msgspec.Struct, frozen=True):
    """What became of one filing: `new` if its id was not known, `first` if it began a quiet period of its group.

    `tell` says how it was published: a first whose rule has had its message for this minute is `quiet`, and counted.
    `completed` if it brought the outcome that the stored alert lacked.
    """

    alert_id: str
    new: bool
    first: bool = False
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


class Route(msgspec.Struct, frozen=True):
    """Which messages a sink gets. The list of routes is given to an adapter when it is opened."""

    sink: str
    dispositions: frozenset[Disposition] = NOTIFIED
    minimum_level: Level = Level.LOW

    def wants(self, disposition: Disposition, level: Level) -> bool:
        """Whether a message is for this sink."""
        return disposition in self.dispositions and level.rank >= self.minimum_level.rank
