"""What dispatch decides about: filings go in, notifications come out."""

from __future__ import annotations

from typing import Literal

import msgspec

from vaultwatch.alerts import Alert
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
    quiet_seconds: float
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


class Merged(msgspec.Struct, frozen=True):
    """One group in a message's counts: its first alert (without `record`), and how many alerts it stands for.

    `firsts` is 1 if that alert itself was not told before, `followed` how many came after it in the quiet period.
    """

    alert: Alert
    firsts: int
    followed: int


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be told or published, the same for every sink.

    `alerts` are new, of one event, the highest level first. `merged` lists at most 20 of the groups behind
    `merged_firsts` + `merged_followed`, which are exact. `rule`, `title`, `level`, `service`, `cluster` are those of
    its most important alert, `group` the key of that alert's group.
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
    merged_firsts: int = 0
    merged_followed: int = 0

    @property
    def merged_count(self) -> int:
        """How many alerts this message counts beside those it carries."""
        return self.merged_firsts + self.merged_followed


class Route(msgspec.Struct, frozen=True):
    """Which messages a sink gets. The list of routes is given to an adapter when it is opened."""

    sink: str
    dispositions: frozenset[Disposition] = NOTIFIED
    minimum_level: Level = Level.LOW

    def wants(self, disposition: Disposition, level: Level) -> bool:
        """Whether a message is for this sink."""
        return disposition in self.dispositions and level.rank >= self.minimum_level.rank
