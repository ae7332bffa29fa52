"""The Store contract: a store keeps alerts, the state of dispatch, and unsent notifications.

A store persists what `vaultwatch.dispatch` decided, and decides nothing. Every change is one transaction. It keeps

- *alerts*, by id, for 90 days. Storing a known id changes nothing, except that a response which arrives later completes
  an outcome that was `unknown`, once, and that an act which succeeded is stored and notified under an id of its own if
  it was stored as denied (`vaultwatch.contradictions`);
- the state of dispatch: *windows* by group, the alerts that each rule *holds* for its next notification, rate *limits*,
  and *sightings* of alerts on the same fact;
- *notifications*, with a *delivery* for each sink that wants them, until the sink has accepted it;
- since when each rule is *live*.

How to use it:

    store.file(filings, now)                   any number of times with the same alerts; retry on StoreError
    store.settle(now)                          at `next_due`, or at any other time
    for u in store.unsent(sink, now):          one page, the most urgent first; repeat until it is empty
        sink.send(u.notification)
        store.mark_sent([u.notification.id], sink, now)     or put_off(id, sink, until) if the sink failed
    store.purge(now)                           about once an hour

`file` and `settle` return the notifications that they made, for callers that send them at once. Times are in seconds
since the epoch, and are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.errors import VaultwatchError

REMEMBERED_SECONDS = 90 * 86400.0


class StoreError(VaultwatchError):
    """The store failed and has changed nothing; the call may be repeated."""


class StoreRefused(StoreError):
    """The store refuses what it was given, and would refuse it again."""


class Filed(NamedTuple):
    """The result of `Store.file`: one `Recorded` for each filing, in order, and the notifications that a sink wants."""

    recorded: list[Recorded]
    notifications: list[Notification]


class Unsent(msgspec.Struct, frozen=True):
    """A notification that a sink has not accepted yet, and how often it was postponed for that sink."""

    notification: Notification
    attempts: int


def always() -> bool:
    """The default for `settle`: there is always time."""
    return True


class Store(Protocol):
    """The contract. If a method fails, it raises `StoreError` and nothing else."""

    def file(self, filings: Sequence[Filing], now: float) -> Filed:
        """Store new alerts, and the notifications that dispatch decides to make.

        Alerts with the same `event_key` in one call share a notification.
        """
        ...

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """Close the windows that have ended, and make the summaries that are due.

        Args:
            now: The present time.
            may_go_on: Called before each hundred windows or so. If it returns False, the others are left to the next
                call: after a flood there may be too many for one call, and no summary must wait for them.

        Returns:
            The summaries that any sink wants.
        """
        ...

    def next_due(self, now: float) -> float | None:
        """Return when `settle` next has something to do, after it was called with this `now`; None if nothing waits."""
        ...

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """Return a page of notifications that `sink` has not accepted and that are not postponed, most urgent first.

        Args:
            sink: The name of the sink.
            now: The present time.
            limit: The most notifications to return.
            age_seconds: Return only notifications older than this; for a sender that is not the only one.
        """
        ...

    def mark_sent(self, notification_ids: Iterable[str], sink: str, now: float) -> None:
        """Note that a sink has accepted notifications. With unknown ids, and those already marked, nothing is sent."""
        ...

    def put_off(self, notification_id: str, sink: str, until: float) -> None:
        """Note that a sink failed: count the attempt, and leave the notification out of `unsent` until a time."""
        ...

    def live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """Return since when each of these rules is live, by name.

        A rule that is unknown, or has another digest, is live from now on. It is forgotten if nobody asks for it during
        the time for which alerts are remembered.
        """
        ...

    def purge(self, now: float) -> int:
        """Delete some of the alerts older than 90 days, and return how many; repeat until it returns 0."""
        ...

    def close(self) -> None:
        """Close the store; any later call raises `StoreError`."""
        ...
