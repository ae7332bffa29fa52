"""What has been alerted and what is still to be sent: the Store contract.

A store persists what `vaultwatch.dispatch` decided, and decides nothing. Every change is one transaction. It keeps

- *alerts*, by id, for 90 days. An id that is known changes nothing, except that a response which arrives later
  completes an outcome that was `unknown`, once;
- the rows that dispatch decides by: *windows* by group, what each rule *holds* for its next notification, the *limits*,
  and which alerts stood for others of the *same fact*;
- *notifications*, and for each sink that wants one a *delivery*, which exists until that sink accepted it;
- since when each rule is *live*.

What a caller does:

    store.file(filings, now)                   as often as it likes, with the same alerts too; retry on StoreError
    store.settle(now)                          at `next_due`, or at any other moment
    for u in store.unsent(sink, now):          one page, the most urgent first; ask again until it is empty
        sink.send(u.notification)
        store.mark_sent([u.notification.id], sink)      or put_off(id, sink, until) when the sink failed
    store.purge(now)                           once an hour or so

`file` and `settle` return the notifications that they made, for a caller that sends them at once. Times are seconds
since the epoch and are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.errors import VaultwatchError

REMEMBERED_SECONDS = 90 * 86400.0


class StoreError(VaultwatchError):
    """The store cannot do it now and has changed nothing; the same call may be made again."""


class Filed(NamedTuple):
    """What `Store.file` did: one result for each filing, in order, and the notifications that any sink wants."""

    recorded: list[Recorded]
    notifications: list[Notification]


class Unsent(msgspec.Struct, frozen=True):
    """A notification that a sink has not accepted yet, and how often it was put off for that sink."""

    notification: Notification
    attempts: int


def always() -> bool:
    """For `settle`: there is no hurry."""
    return True


class Store(Protocol):
    """The contract. Every method raises `StoreError`, and nothing else, when it cannot do its work now."""

    def file(self, filings: Sequence[Filing], now: float) -> Filed:
        """Store what is new, and whom to notify of it.

        Alerts with the same `event_key` in one call share a notification.
        """
        ...

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """Close the windows that have ended, and make the summaries that are due.

        Args:
            now: The present time.
            may_go_on: Asked before each page of windows. When it says no the others are left to the next call: after a
                flood there may be more than one call has time for, and no summary must wait for them.

        Returns:
            The summaries that any sink wants.
        """
        ...

    def next_due(self, now: float) -> float | None:
        """When `settle` has something to do, after it was called with this `now`; None if nothing waits."""
        ...

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """A page of the notifications that `sink` lacks and that are not put off, the most urgent first.

        With `age_seconds`, only those older than that: for a sender that is not the only one.
        """
        ...

    def mark_sent(self, notification_ids: Iterable[str], sink: str) -> None:
        """The sink has accepted these. An id that is unknown, or was marked before, changes nothing."""
        ...

    def put_off(self, notification_id: str, sink: str, until: float) -> None:
        """The sink failed: keep the notification, count the attempt, and leave it out of `unsent` until then."""
        ...

    def live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """Since when each of these rules is live, by name.

        One that is not known with its digest is live from now on. It stays known while it is asked for at least once
        in the time for which alerts are remembered.
        """
        ...

    def purge(self, now: float) -> int:
        """Forget some of what is older than 90 days; how many alerts went. Call again while it is not 0."""
        ...

    def close(self) -> None:
        """Release everything; any later call raises `StoreError`."""
        ...
