"""What has been alerted and what is still to be told: the Store contract.

A store keeps four kinds of things, and every change to them is one transaction:

- *alerts*, by id, for 90 days: an id that is known changes nothing, except that a response which arrives later
  completes an outcome that was `unknown`, once;
- *periods*, by group: the quiet period that the group's first alert began, and how many alerts followed it;
- *rule slots*, by rule: when the rule may send its next message, and what waits to be counted in it;
- *messages*, and for each sink that wants one a *delivery*, which exists until that sink said yes.

What a caller does:

    store.record(filings, now)                 as often as it likes, with the same alerts too; retry on StoreError
    store.close_due(now)                       at the moment the last call returned, or at any other
    for u in store.unsent(sink, now):          one page, the most urgent first; ask again until it is empty
        sink.send(u.message)
        store.mark_sent(u.message.id, sink)    or put_off(u.message.id, sink, until) when the sink said no
    store.purge(now)                           once an hour or so

Every alert that is new is published at once, in exactly one message whose `alerts` holds it: `first` when people are
told, `quiet` when it is only counted, `staged` when its rule is being tried out. What was counted is told later,
exactly once, in the numbers of a message (`merged_firsts` + `merged_followed`): a `summary`, or a `first` of the same
rule that happens to go out before it. `vaultwatch.store.ledger` decides all that, as pure functions on the rows that
an adapter reads and writes, so that every adapter decides alike.

For an adapter on a key-value store: an event's alerts (at most 25) need their alert, period and slot rows read by key
and then written, with a delivery for each message and sink, in one conditional transaction: at most 100 items for one
sink that gets all. A due period and a due slot are one transaction of two items each. What must be found without its
key are periods and slots by the time they are due, and deliveries by sink and urgency: sparse indexes, no scan. Times
are seconds since the epoch and are passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from vaultwatch.alerts import Alert, Level, Service
from vaultwatch.errors import VaultwatchError

Tell = Literal["first", "summary", "quiet", "staged"]
TOLD: frozenset[Tell] = frozenset({"first", "summary"})
ALL_TELLS: frozenset[Tell] = frozenset({"first", "summary", "quiet", "staged"})
REMEMBERED_SECONDS = 90 * 86400.0


class StoreError(VaultwatchError):
    """The store could not do it now and has changed nothing; the same call may be made again."""


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
    tell: Tell = "quiet"
    completed: bool = False


class Merged(msgspec.Struct, frozen=True):
    """One group in a message's counts: its first alert (without `record`), and how many alerts it stands for.

    `firsts` is 1 if that alert itself was not told before, `followed` how many came after it in the quiet period.
    """

    alert: Alert
    firsts: int
    followed: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be told or published, the same for every sink.

    `alerts` are new, of one event, the highest level first. `merged` lists at most 20 of the groups behind
    `merged_firsts` + `merged_followed`, which are exact. `rule`, `title`, `level`, `service`, `cluster` are those of
    its most important alert.
    """

    id: str
    tell: Tell
    rule: str
    title: str
    level: Level
    service: Service
    cluster: str
    created_at: float
    alerts: tuple[Alert, ...] = ()
    merged: tuple[Merged, ...] = ()
    merged_firsts: int = 0
    merged_followed: int = 0

    @property
    def merged_count(self) -> int:
        """How many alerts this message counts beside those it carries."""
        return self.merged_firsts + self.merged_followed


class Unsent(msgspec.Struct, frozen=True):
    """A message that a sink has not taken yet, and how often it was put off for that sink."""

    message: Message
    attempts: int


class Route(msgspec.Struct, frozen=True):
    """Which messages a sink gets. The list of routes is given to an adapter when it is opened."""

    sink: str
    tells: frozenset[Tell] = TOLD
    minimum_level: Level = Level.LOW

    def wants(self, tell: Tell, level: Level) -> bool:
        """Whether a message is for this sink."""
        return tell in self.tells and level.rank >= self.minimum_level.rank


class Store(Protocol):
    """The contract. Every method raises `StoreError`, and nothing else, when it could not do its work now."""

    def record(self, filings: Sequence[Filing], now: float) -> list[Recorded]:
        """Store what is new, count it in its group, and make its messages; one result for each filing, in order.

        Alerts with the same `event_key` in one call are told in one message.
        """
        ...

    def close_due(self, now: float) -> float | None:
        """Close the quiet periods that have ended and make the messages that are due; when to call again, if at all."""
        ...

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """A page of the messages that `sink` lacks and that are not put off, the most urgent first.

        With `age_seconds`, only those older than that: for a sender that is not the only one.
        """
        ...

    def mark_sent(self, message_id: str, sink: str) -> None:
        """The sink said yes. An unknown id, or one marked before, changes nothing."""
        ...

    def put_off(self, message_id: str, sink: str, until: float) -> None:
        """The sink said no to this message: keep it, count the attempt, and leave it out of `unsent` until then."""
        ...

    def purge(self, now: float) -> int:
        """Forget some of what is older than 90 days; how many alerts went. Call again while it is not 0."""
        ...

    def close(self) -> None:
        """Give everything back; any later call raises `StoreError`."""
        ...
