"""The Store on AWS: one DynamoDB table.

    pk               sk              what it is                                    found through
    alert#<id>       alert           an alert; gone by TTL
    group#<group>    period          a group's quiet period                        due: `period`, by its end
    rule#<rule>      slot            when a rule may send, and what waits for it   due: `slot`, while something waits
    rule#<rule>      live#<digest>   since when the rule is in force as it is; gone by TTL
    message#<id>     sink#<sink>     a message that this sink lacks; gone by TTL   unsent: the sink, by urgency and age
    message#<id>     sent#<sink>     a message that this sink has had (`SentNotifications`)

Counts in windows would be rows `group#<group>` / `window#<start>`. Rows are read consistently, decided on, and written
in one transaction that fails if any of them has changed meanwhile; then all is read and decided again. As many events
as fit share a transaction (33 in a flood of one rule), so that a flood does not wait for one round trip an alert.
An index needs at most 1,000 writes a second of one partition: some 500 alerts a second, above which DynamoDB throttles
and `record` waits, then raises.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import (
    ALERTS_PER_MESSAGE,
    Books,
    Draft,
    Period,
    RuleSlot,
    assemble,
    close_period,
    empty_slot,
    file_event,
    split_events,
)
from vaultwatch.dispatch.notification import Filing, Notification, Recorded, Route
from vaultwatch.encoding import encode_alert
from vaultwatch.store import REMEMBERED_SECONDS, StoreError, Unsent
from vaultwatch.store.dynamodb.rows import (
    alert_key,
    body_of,
    deliveries,
    delivery_key,
    fitting,
    live_key,
    needed,
    period_key,
    period_row,
    read_body,
    slot_key,
    slot_row,
)
from vaultwatch.store.dynamodb.table import (
    MAX_ACTIONS,
    MAX_TRANSACTION_BYTES,
    Conflict,
    Gone,
    Item,
    Key,
    Row,
    Table,
    key_of,
    number,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ATTEMPTS = 12
_LAST_MOMENT = 9e12
_LIVE_WRITTEN_SECONDS = 86400.0
_T = TypeVar("_T")


class DynamoStore:
    """`Store` in a table with keys `pk`, `sk`, TTL on `expires_at`, and the indexes `due` and `unsent`.

    Any number of processes use it at a time. `client` is botocore's for DynamoDB.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        routes: Sequence[Route] = (),
        *,
        remembered_seconds: float = REMEMBERED_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open_table: Table | None = Table(client, table, sleep)
        self._routes = tuple(routes)
        self._remembered_seconds = remembered_seconds
        self._sleep = sleep

    def record(self, filings: Sequence[Filing], now: float) -> list[Recorded]:
        """See `Store.record`; whole events are transactions."""
        return self.file(filings, now)[0]

    def file(self, filings: Sequence[Filing], now: float) -> tuple[list[Recorded], list[Notification]]:
        """`record`, and the messages it made for any sink: for who sends them at once, since `unsent` lags a little."""
        table = self._table
        results: dict[int, Recorded] = {}
        drafts: list[Draft] = []
        filings = [fitting(filing) for filing in filings]
        for events in self._share_out(filings):
            work = _Filing(self._routes, self._remembered_seconds, [[filings[at] for at in event] for event in events])
            recorded, made = self._insisting(partial(work.do, table, now))
            results.update(zip((at for event in events for at in event), recorded, strict=True))
            drafts += made
        return [results[at] for at in range(len(filings))], self._assemble(drafts)

    def close_due(self, now: float) -> float | None:
        """See `Store.close_due`."""
        self.settle(now)
        moments = [self._next_due(kind, now) for kind in ("period", "slot")]
        return min((moment for moment in moments if moment is not None), default=None)

    def settle(self, now: float, may_go_on: Callable[[], bool] = lambda: True) -> list[Notification]:
        """Close what is due, and give the messages made: for who sends them at once.

        Periods are closed while `may_go_on`: after a flood there may be more than one call has time for, and no rule's
        summary must wait for them.
        """
        table, made = self._table, list[Draft]()
        for page in table.find("due", "due_kind = :kind AND due_at <= :now", {":kind": "period", ":now": now}):
            if not may_go_on():
                break
            keys = [key_of(item) for item in page]
            self._insisting(partial(_close_periods, table, keys, now))
        for page in table.find("due", "due_kind = :kind AND due_at <= :now", {":kind": "slot", ":now": now}):
            for item in page:
                made += self._insisting(partial(self._empty_slot, key_of(item), now))
        return self._assemble(made)

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`."""
        table, now = self._table, min(now, _LAST_MOMENT)
        values = {":sink": sink, ":now": now, ":made": now - age_seconds if age_seconds else _LAST_MOMENT}
        found: list[Item] = []
        filtered = "not_before <= :now AND created_at <= :made"
        for page in table.find("unsent", "unsent_sink = :sink", values, filtered=filtered):
            rows = table.read(map(key_of, page))
            found += [rows[key] for key in map(key_of, page) if key in rows and number(rows[key], "not_before") <= now]
            if len(found) >= limit:
                break
        messages = self._assemble([read_body(item, Draft) for item in found[:limit]])
        attempts = [int(number(item, "attempts")) for item in found]
        return [Unsent(message, tried) for message, tried in zip(messages, attempts)]

    def mark_sent(self, message_id: str, sink: str) -> None:
        """See `Store.mark_sent`."""
        self.mark_all_sent([message_id], sink)

    def mark_all_sent(self, message_ids: Iterable[str], sink: str) -> None:
        """The sink said yes to all of these."""
        self._table.delete(delivery_key(message_id, sink) for message_id in message_ids)

    def put_off(self, message_id: str, sink: str, until: float) -> None:
        """See `Store.put_off`."""
        expression = "SET attempts = attempts + :one, not_before = :until"
        self._table.change(delivery_key(message_id, sink), expression, {":one": 1, ":until": until})

    def purge(self, now: float) -> int:  # noqa: ARG002
        """See `Store.purge`; here DynamoDB does it, and until it has, what is too old counts as gone."""
        self._table  # noqa: B018 - raises if closed
        return 0

    def close(self) -> None:
        """See `Store.close`."""
        self._open_table = None

    def live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """Since when each of these rules is in force; one that is not known with its digest is so from now on.

        It is known while it is asked for at least once in the time for which alerts are remembered.
        """
        return self._insisting(partial(_live_since, self._table, digests, now, now + self._remembered_seconds))

    @property
    def _table(self) -> Table:
        if self._open_table is None:
            raise StoreError("the store is closed")
        return self._open_table

    def _insisting(self, work: Callable[[], _T]) -> _T:
        """Read, decide and write again until nobody was faster; about ten seconds at most."""
        for attempt in range(_ATTEMPTS):
            try:
                return work()
            except Conflict:
                self._sleep(random.uniform(0.0, min(2.0, 0.02 * 2.0**attempt)))  # noqa: S311 - jitter, no secret
        raise StoreError("DynamoDB: others change the same rows all the time, or it throttles")

    def _share_out(self, filings: Sequence[Filing]) -> list[list[list[int]]]:
        """The positions of filings by event, as many events together as a transaction takes."""
        shares: list[list[list[int]]] = []
        taken = _Load(len(self._routes))
        for event in split_events(filings, min(ALERTS_PER_MESSAGE, MAX_ACTIONS // (3 + len(self._routes)))):
            load = taken.with_event([filings[at] for at in event])
            if shares and load.fits():
                shares[-1].append(event)
                taken = load
            else:
                shares.append([event])
                taken = _Load(len(self._routes)).with_event([filings[at] for at in event])
        return shares

    def _empty_slot(self, key: Key, now: float) -> list[Draft]:
        item = self._table.read([key]).get(key)
        if item is None:
            return []
        books = Books()
        empty_slot(read_body(item, RuleSlot), books, now)
        changed = [slot_row(slot, body_of(item)) for slot in books.slots.values()]
        told = deliveries(books.drafts, self._routes, now + self._remembered_seconds)
        self._table.write([*changed, *told])
        return books.drafts if told else []

    def _next_due(self, kind: str, now: float) -> float | None:
        query = self._table.find("due", "due_kind = :kind AND due_at > :now", {":kind": kind, ":now": now}, page=1)
        return next((number(page[0], "due_at") for page in query), None)

    def _assemble(self, drafts: Sequence[Draft]) -> list[Notification]:
        ids = {id_ for draft in drafts for id_ in (*draft.alert_ids, *(listed.alert_id for listed in draft.merged))}
        rows = self._table.read(map(alert_key, ids))
        alerts = {key: read_body(item, Alert) for key, item in rows.items()}
        return [assemble(draft, lambda alert_id: alerts.get(alert_key(alert_id))) for draft in drafts]


class _Load:
    """How much a transaction would hold at most."""

    def __init__(self, sinks: int, keys: frozenset[Key] = frozenset(), deliveries: int = 0, size: int = 0) -> None:
        self._sinks, self._keys, self._deliveries, self._size = sinks, keys, deliveries, size

    def with_event(self, event: Sequence[Filing]) -> _Load:
        size = sum(len(encode_alert(filing.alert)) + 8_192 for filing in event)
        keys = self._keys.union(needed(event))
        return _Load(self._sinks, keys, self._deliveries + len(event) * self._sinks, self._size + size)

    def fits(self) -> bool:
        return len(self._keys) + self._deliveries <= MAX_ACTIONS and self._size <= MAX_TRANSACTION_BYTES


class _Filing:
    """Whole events on their way into the table; `do` may be called again, and begins anew."""

    def __init__(self, routes: Sequence[Route], remembered_seconds: float, events: list[list[Filing]]) -> None:
        self._routes = routes
        self._remembered_seconds = remembered_seconds
        self._events = events

    def do(self, table: Table, now: float) -> tuple[list[Recorded], list[Draft]]:
        """Read the rows of these events, decide, write; raises `Conflict`, having changed nothing."""
        rows = table.read(key for event in self._events for key in needed(event))
        periods = [read_body(item, Period) for key, item in rows.items() if key[1] == "period"]
        slots = [read_body(item, RuleSlot) for key, item in rows.items() if key[1] == "slot"]
        books = Books({period.group: period for period in periods}, {slot.head.rule: slot for slot in slots})
        known = {
            key: read_body(item, Alert)
            for key, item in rows.items()
            if key[1] == "alert" and number(item, "expires_at") > now
        }
        alerts = dict(known)
        results = [result for event in self._events for result in _file(event, alerts, books, now)]
        expires_at = now + self._remembered_seconds
        expiries = {key: number(rows[key], "expires_at") for key in known}  # completing prolongs no memory
        written = [
            Row(key, encode_alert(alert), body_of(rows.get(key)), {"expires_at": int(expiries.get(key, expires_at))})
            for key, alert in alerts.items()
            if known.get(key) is not alert
        ]
        due = [period_row(period, body_of(rows.get(period_key(period.group)))) for period in books.periods.values()]
        due += [slot_row(slot, body_of(rows.get(slot_key(slot.head.rule)))) for slot in books.slots.values()]
        told = deliveries(books.drafts, self._routes, expires_at)
        table.write([*written, *(row for row in due if row.body != row.seen), *told])
        wanted = {row.key for row in told}
        sinks = [route.sink for route in self._routes]
        return results, [d for d in books.drafts if any(delivery_key(d.id, sink) in wanted for sink in sinks)]


def _file(event: Sequence[Filing], alerts: dict[Key, Alert], books: Books, now: float) -> list[Recorded]:
    """Count what is new of an event, complete what is known; `alerts` and `books` change."""
    known: dict[int, Recorded] = {}
    fresh: list[Filing] = []
    for index, filing in enumerate(event):
        key = alert_key(filing.alert.id)
        stored = alerts.get(key)
        if stored is None:
            alerts[key] = filing.alert
            fresh.append(filing)
        elif stored.outcome == "unknown" and filing.alert.outcome != "unknown":
            alerts[key] = replace(filing.alert, late=stored.late)
            known[index] = Recorded(filing.alert.id, new=False, completed=True)
        else:
            known[index] = Recorded(filing.alert.id, new=False)
    filed = iter(file_event(fresh, books, now))
    return [known[index] if index in known else next(filed) for index in range(len(event))]


def _live_since(table: Table, digests: Mapping[str, str], now: float, expires_at: float) -> dict[str, float]:
    rows = table.read(live_key(*rule) for rule in digests.items())
    since: dict[str, float] = {}
    changed: list[Row] = []
    for name, digest in digests.items():
        key = live_key(name, digest)
        row = rows.get(key)
        known_until = number(row, "expires_at") if row else 0.0
        since[name] = read_body(row, float) if row and known_until > now else now
        if known_until <= expires_at - _LIVE_WRITTEN_SECONDS:
            body = msgspec.json.encode(since[name])
            changed.append(Row(key, body, body_of(row), {"expires_at": int(expires_at)}))
    for at in range(0, len(changed), MAX_ACTIONS):
        table.write(changed[at : at + MAX_ACTIONS])
    return since


def _close_periods(table: Table, keys: Sequence[Key], now: float) -> None:
    rows = table.read(keys)
    periods = [read_body(item, Period) for item in rows.values()]
    for rule in dict.fromkeys(period.rule for period in periods):
        item = table.read([slot_key(rule)])[slot_key(rule)]
        before = read_body(item, RuleSlot)
        books = Books(slots={rule: before})
        ended = [period for period in periods if period.rule == rule and period.closes_at <= now]
        for period in ended:
            close_period(period, books)
        gone = [Gone(key, rows[key]["body"]["B"]) for key in (period_key(period.group) for period in ended)]
        changed = [slot_row(slot, body_of(item)) for slot in books.slots.values() if slot != before]
        table.write([*gone, *changed])
