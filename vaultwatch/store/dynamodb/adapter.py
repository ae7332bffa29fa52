"""The Store on AWS: one DynamoDB table (`schema`).

Rows are read consistently, decided on, and written in one transaction that fails if any of them has changed meanwhile;
then all is read and decided again. As many events as fit share a transaction (32 in a flood of one rule), so that a
flood does not wait for one round trip an alert. Writers of one rule do not wait for each other (`crowd`); those of one
group do, because its repeats are counted in one row (2, 8 and 100 of them on the local AWS: none fails in 20 s).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from vaultwatch.alerts import Alert
from vaultwatch.backoff import Backoff
from vaultwatch.dispatch.decisions import flush
from vaultwatch.dispatch.drafts import Draft, alert_ids, assemble, priority
from vaultwatch.dispatch.held import by_urgency
from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.dispatch.portions import capped
from vaultwatch.dispatch.routes import Route
from vaultwatch.seals import Seal
from vaultwatch.store import REMEMBERED_SECONDS, Filed, StoreError, Unsent, always
from vaultwatch.store.dynamodb.calendar import Calendar, failure_of, with_appointments
from vaultwatch.store.dynamodb.filing import Done, Work, share_out
from vaultwatch.store.dynamodb.live import live_since
from vaultwatch.store.dynamodb.rows import (
    SHARED_KEYS,
    changed_rows,
    delivery_rows,
    fitting,
    load_state,
    prepared,
    put_off,
    read_alert,
    read_draft,
    read_held,
    sent_row,
)
from vaultwatch.store.dynamodb.schema import (
    ATTEMPTS,
    DUE_AT,
    Key,
    alert_key,
    critical_calendar,
    delivery_key,
    held_key,
    sink_calendar,
)
from vaultwatch.store.dynamodb.settling import move_to_rules
from vaultwatch.store.dynamodb.table import MAX_ACTIONS, Conflict, Item, Table, number

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PATIENCE_SECONDS = 30.0
"""How long a transaction waits, all in all, for the writers of the same rows."""
CROWD_SECONDS = 60.0
"""How long after a conflict a store behaves as if there were other writers."""
_CONFLICT = Backoff(first_seconds=0.02, longest_seconds=2.0)
_CALENDARS = ("added", "window", "held")
_MOVED = MAX_ACTIONS - 10
"""How many rows are moved to what their rule holds in one transaction, which also writes that and an appointment."""
_AHEAD_SECONDS = 3 * 86400.0
"""Longer than any window."""
_COMPARED = 1_000
"""How many notifications that are unsent are compared to find the most urgent ones."""
_LONGEST_WAIT_SECONDS = 2 * 3600.0
"""A notification that is put off for longer was put off by somebody else, and is due."""
_T = TypeVar("_T")


class DynamoStore:
    """A `Store` in a table with the schema of `schema`; any number of processes use it at a time.

    Args:
        client: botocore's client for DynamoDB.
        table: The table's name.
        seal: Seals the rows.
        routes: The notifications that each sink wants.
        remembered_seconds: How long alerts are remembered.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        seal: Seal,
        routes: Sequence[Route] = (),
        *,
        remembered_seconds: float = REMEMBERED_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open_table: Table | None = Table(client, table, seal, sleep)
        self._routes = tuple(routes)
        self._remembered_seconds = remembered_seconds
        self._sleep = sleep
        self._crowded_until = 0.0

    def file(self, filings: Sequence[Filing], now: float) -> Filed:
        """See `Store.file`; the alerts of one event are always stored in the same transaction."""
        results: dict[int, Recorded] = {}
        drafts: list[Draft] = []
        alerts: dict[Key, Alert] = {}
        filings = [fitting(filing) for filing in capped(filings)]
        for events in share_out(filings, self._routes):
            work = Work(
                [[filings[at] for at in event] for event in events],
                self._routes,
                self._remembered_seconds,
            )
            done = self._insisting(partial(self._file, work, now), now)
            results.update(zip((at for event in events for at in event), done.recorded, strict=True))
            drafts += done.drafts
            alerts |= done.alerts
        return Filed([results[at] for at in range(len(filings))], self._assemble(drafts, alerts))

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """See `Store.settle`; the highest levels come first, and what fails keeps back nothing else: that is unsent."""
        made = list[Draft]()
        moves = [partial(self._move, name, now, may_go_on) for name in ("added", "window")]  # to what rules hold
        failures = [failure_of(step) for step in (*moves, partial(self._flush_due, made, now))]
        failure = next(filter(None, failures), None)
        if failure:
            raise failure  # what was made is unsent
        return self._assemble(made)

    def next_due(self, now: float) -> float | None:
        """See `Store.next_due`."""
        moments = [Calendar(self._table, name).next_at(now, _AHEAD_SECONDS) for name in _CALENDARS]
        return min((moment for moment in moments if moment is not None), default=None)

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`; of more than a thousand or so that are not critical, the oldest thousand are compared."""

        def decode(item: Item) -> Draft | None:
            draft = read_draft(item)
            is_recent = draft is not None and now - age_seconds < draft.created_at <= now + _LONGEST_WAIT_SECONDS
            return None if is_recent else draft

        found, failure = list[tuple[Draft, Item]](), None
        for name in (critical_calendar(sink), sink_calendar(sink)):
            if len(found) < limit:
                calendar = Calendar(self._table, name, _LONGEST_WAIT_SECONDS)
                due, failed = calendar.find(now, decode, max(limit, _COMPARED))
                found, failure = found + due, failure or failed
        if failure and not found:
            raise failure
        found.sort(key=lambda one: (priority(one[0]), one[0].created_at))
        notifications = self._assemble([draft for draft, _ in found[:limit]])
        attempts = [int(number(item, ATTEMPTS)) for _, item in found]
        return [Unsent(notification, tried) for notification, tried in zip(notifications, attempts)]

    def mark_sent(self, notification_ids: Iterable[str], sink: str, now: float) -> None:
        """See `Store.mark_sent`; the rows stay until they expire."""
        for notification_id in notification_ids:
            self._table.put(sent_row(delivery_key(notification_id, sink), now + self._remembered_seconds))

    def put_off(self, notification_id: str, sink: str, until: float) -> None:
        """See `Store.put_off`; one that is sent, or that somebody else wrote, stays as it is."""
        key = delivery_key(notification_id, sink)
        item = self._table.read([key]).get(key)
        if item is None or DUE_AT not in item:
            return
        try:
            self._table.write([put_off(item, key, until)])
        except Conflict:
            return  # another function has just sent it, or put it off

    def live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """See `Store.live_since`."""
        return self._insisting(partial(live_since, self._table, digests, now, now + self._remembered_seconds), now)

    def purge(self, now: float) -> int:  # noqa: ARG002
        """See `Store.purge`; DynamoDB itself deletes expired rows, which are ignored until then."""
        self._table  # noqa: B018 - raises if closed
        return 0

    def close(self) -> None:
        """See `Store.close`."""
        self._open_table = None

    @property
    def _table(self) -> Table:
        if self._open_table is None:
            raise StoreError("the store is closed")
        return self._open_table

    def _insisting(self, work: Callable[[], _T], now: float) -> _T:
        """Read, decide and write, and repeat while other writers are faster, as long as patience lasts."""
        failures, waited_seconds = 0, 0.0
        while True:
            try:
                return work()
            except Conflict as conflict:
                if waited_seconds >= PATIENCE_SECONDS:
                    text = "DynamoDB: concurrent writers keep changing the same rows, or it throttles"
                    raise StoreError(text) from conflict
            self._crowded_until = now + CROWD_SECONDS
            failures += 1
            pause_seconds = _CONFLICT.full_jitter(failures)
            self._sleep(pause_seconds)
            waited_seconds += pause_seconds

    def _file(self, work: Work, now: float) -> Done:
        return work.do(self._table, now, crowded=now < self._crowded_until)

    def _flush(self, key: Key, now: float) -> list[Draft]:
        rows = self._table.read([key, *SHARED_KEYS])
        held = read_held(rows[key]) if key in rows else None
        if held is None:
            return []
        state, expires_at = load_state(rows), now + self._remembered_seconds
        flush(held, state, now)
        drafts = prepared(state.drafts, self._routes)
        deliveries = delivery_rows(drafts, self._routes, expires_at)
        self._table.write(with_appointments([*changed_rows(state, rows, expires_at), *deliveries], now))
        return drafts

    def _move(self, name: str, now: float, may_go_on: Callable[[], bool]) -> None:
        """Join what the rows of a calendar count to what their rules hold."""
        calendar = Calendar(self._table, name)
        for page in calendar.due(now):
            keys = list(dict.fromkeys(key for one in page for key in one.named))
            for at in range(0, len(keys), _MOVED):
                if not may_go_on():
                    calendar.move_on(now, is_whole=False)
                    return
                self._insisting(partial(self._move_some, keys[at : at + _MOVED], now), now)
            calendar.close(page, calendar.read(page), now)
        calendar.move_on(now)

    def _flush_due(self, made: list[Draft], now: float) -> None:
        """Add the summaries of what rules hold and is due."""
        calendar = Calendar(self._table, "held")
        pages = list(calendar.due(now))
        due = [item for page in pages for item in calendar.read(page).values()]
        for held in sorted(filter(None, map(read_held, due)), key=by_urgency):
            made += self._insisting(partial(self._flush, held_key(held.head.rule), now), now)
        for page in pages:
            calendar.close(page, calendar.read(page), now)
        calendar.move_on(now)

    def _move_some(self, keys: Sequence[Key], now: float) -> None:
        move_to_rules(self._table, self._table.read(keys), now)

    def _assemble(self, drafts: Sequence[Draft], alerts: Mapping[Key, Alert] | None = None) -> list[Notification]:
        """Return the notifications; reads the alerts that are not among these, which were just stored."""
        known = dict(alerts or {})
        keys = {alert_key(id_) for draft in drafts for id_ in alert_ids(draft)}
        rows = self._table.read(keys - known.keys())
        known |= {key: alert for key, item in rows.items() if (alert := read_alert(item))}
        return [assemble(draft, lambda alert_id: known.get(alert_key(alert_id))) for draft in drafts]
