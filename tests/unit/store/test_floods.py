"""Decoys in a minute, through the stores: the one act among them that succeeded is in the next notification, by name.

`tests/unit/dispatch/test_floods.py` has more floods, on the decisions alone. SQLite gets 10,000 decoys; the local
DynamoDB, which takes minutes for so many, gets 400. Run by hand with 10,000 on 2026-11-28, it took 1,012 calls, and
made 16 notifications that count 10,001 alerts; the first one after the act named it, 30 s later.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.store.alerts import a_filing
from tests.unit.store.conftest import Opener
from vaultwatch.dispatch.limits import MINUTE_SECONDS
from vaultwatch.dispatch.notification import Filing, Notification
from vaultwatch.dispatch.routes import Route
from vaultwatch.store import Store
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0
BATCH = 200


def decoy(number: int) -> Filing:
    return a_filing(f"d{number}", principal=f"name {number}", path=f"p{number}", outcome="failed")


def flood(count: int) -> Iterator[tuple[float, list[Filing]]]:
    """Yield the calls of a minute of decoys, each under another name, with one act half-way."""
    for first in range(0, count, BATCH):
        decoys = [decoy(number) for number in range(first, first + BATCH)]
        if first == count // 2:
            decoys.insert(BATCH // 2, a_filing("act", principal="mallory", path="real"))
        yield T0 + MINUTE_SECONDS * first / count, decoys


def notifications(store: Store, count: int) -> Iterator[Notification]:
    """Yield the notifications of a flood and of what follows, in order."""
    now = T0
    for now, decoys in flood(count):
        yield from store.settle(now)
        yield from store.file(decoys, now).notifications
    while (due := store.next_due(now)) is not None:
        now = max(now, due)
        yield from store.settle(now)


def test_the_success_among_decoys_is_in_the_next_notification_by_name(open_store: Opener) -> None:
    store = open_store([Route("people")])
    count = 2_000 if isinstance(store, SqliteStore) else 400
    made = list(notifications(store, count))
    happened_at = T0 + MINUTE_SECONDS / 2
    following = [one for one in made if one.created_at >= happened_at]
    listed = [alert for merged in following[0].merged for alert in merged.alerts]
    assert "mallory" in {alert.principal for alert in (*following[0].alerts, *listed)}
    assert following[0].created_at <= happened_at + MINUTE_SECONDS
    assert sum(len(one.alerts) + one.merged_count for one in made) == count + 1
