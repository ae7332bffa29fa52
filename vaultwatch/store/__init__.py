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
rule that happens to go out before it. `vaultwatch.dispatch.decisions` decides all that, as pure functions on the
rows that an adapter reads and writes, so that every adapter decides alike.

For an adapter on a key-value store: an event's alerts (at most 25) need their alert, period and slot rows read by key
and then written, with a delivery for each message and sink, in one conditional transaction: at most 100 items for one
sink that gets all. A due period and a due slot are one transaction of two items each. What must be found without its
key are periods and slots by the time they are due, and deliveries by sink and urgency: sparse indexes, no scan. Times
are seconds since the epoch and are passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.errors import VaultwatchError

REMEMBERED_SECONDS = 90 * 86400.0


class StoreError(VaultwatchError):
    """The store could not do it now and has changed nothing; the same call may be made again."""


class Unsent(msgspec.Struct, frozen=True):
    """A message that a sink has not taken yet, and how often it was put off for that sink."""

    message: Notification
    attempts: int


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
