"""The Store on AWS: one DynamoDB table (`schema`).

Rows are read consistently, decided on, and written in one transaction that fails if any of them has changed meanwhile;
then all is read and decided again. As many events as fit share a transaction (32 in a flood of one rule), so that a
flood does not wait for one round trip an alert. Writers of one rule do not wait for each other (`crowd`); those of one
group do, because its repeats are counted in one row (2, 8 and 100 of them on the local AWS: none fails in 20 s). An
index takes at most 1,000 write units a second in one partition: some 3,000 alerts a second of a flood (docs/cost.md),
above which DynamoDB throttles and `file` waits, then raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from vaultwatch.alerts import Alert
from vaultwatch.backoff import Backoff
from vaultwatch.dispatch.decisions import flush
from vaultwatch.dispatch.drafts import Draft, alert_ids, assemble
from vaultwatch.dispatch.held import by_urgency
from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.dispatch.portions import capped
from vaultwatch.dispatch.routes import Route
from vaultwatch.seals import Seal
from vaultwatch.store import REMEMBERED_SECONDS, Filed, StoreError, Unsent, always
from vaultwatch.store.dynamodb.deliveries import is_listed, put_off, sent_row
from vaultwatch.store.dynamodb.filing import Done, Work, share_out
from vaultwatch.store.dynamodb.live import live_since
from vaultwatch.store.dynamodb.rows import (
    SHARED_KEYS,
    changed_rows,
    delivery_rows,
    fitting,
    load_state,
    prepared,
    read_alert,
    read_draft,
    read_held,
)
from vaultwatch.store.dynamodb.schema import (
    ADDED_ROWS,
    NOTIFICATION_ROWS,
    RULE_ROWS,
    WINDOW_ROWS,
    Key,
    alert_key,
    delivery_key,
    held_key,
)
from vaultwatch.store.dynamodb.settling import move_to_rules
from vaultwatch.store.dynamodb.table import Conflict, Item, Table, number

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PATIENCE_SECONDS = 30.0
"""How long a transaction waits, all in all, for the writers of the same rows."""
CROWD_SECONDS = 60.0
"""How long after a conflict a store behaves as if there were other writers."""
_CONFLICT = Backoff(first_seconds=0.02, longest_seconds=2.0)
_LAST_MOMENT = 9e12
_LONGEST_WAIT_SECONDS = 2 * 3600.0
"""A notification that is put off for longer was put off by somebody else, and is due."""
_LISTED = {"added": ADDED_ROWS, "window": WINDOW_ROWS, "held": RULE_ROWS}
"""How the partition keys of the rows begin that are due, by their kind."""
_DUE = "due_kind = :kind AND due_at <= :now"
_T = TypeVar("_T")


class DynamoStore:
    """A `Store` in a table with the schema of `schema`; any number of processes use it at a time.

    Args:
        client: botocore's client for DynamoDB.
        table: The table's name.
        seal: Seals the rows.
        routes: The notifications that each sink wants.
        remembered_seconds: How long alerts are remembered.
        checks_deliveries: Whether `file` makes notifications of known alerts again that are gone (`deliveries`).
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
        checks_deliveries: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open_table: Table | None = Table(client, table, seal, sleep)
        self._routes = tuple(routes)
        self._remembered_seconds = remembered_seconds
        self._checks_deliveries = checks_deliveries
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
                self._checks_deliveries,
            )
            done = self._insisting(partial(self._file, work, now), now)
            results.update(zip((at for event in events for at in event), done.recorded, strict=True))
            drafts += done.drafts
            alerts |= done.alerts
        return Filed([results[at] for at in range(len(filings))], self._assemble(drafts, alerts))

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """See `Store.settle`; the summaries of the highest levels are made first."""
        table, made = self._table, list[Draft]()
        for kind in ("added", "window"):  # which change what rules hold
            for page in table.find("due", _LISTED[kind], _DUE, {":kind": kind, ":now": now}):
                if not may_go_on():
                    break
                self._insisting(partial(move_to_rules, table, page, now), now)
        due = [item for page in table.find("due", RULE_ROWS, _DUE, {":kind": "held", ":now": now}) for item in page]
        rows = table.read_found(due)
        table.settle_foreign(rows)
        for held in sorted(filter(None, map(read_held, rows)), key=by_urgency):
            made += self._insisting(partial(self._flush, held_key(held.head.rule), now), now)
        return self._assemble(made)

    def next_due(self, now: float) -> float | None:
        """See `Store.next_due`."""
        moments = [self._next_due(kind, now) for kind in _LISTED]
        return min((moment for moment in moments if moment is not None), default=None)

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`."""
        table, now = self._table, min(now, _LAST_MOMENT)
        made, distant = now - age_seconds if age_seconds else _LAST_MOMENT, now + _LONGEST_WAIT_SECONDS
        values = {":sink": sink, ":now": now, ":made": made, ":distant": distant}
        found: list[tuple[Draft, Item]] = []
        filtered = "(not_before <= :now OR not_before > :distant) AND (created_at <= :made OR created_at > :distant)"
        for page in table.find("unsent", NOTIFICATION_ROWS, "unsent_sink = :sink", values, filtered=filtered):
            rows = table.read_found(page)
            table.settle_foreign(rows)
            due = [item for item in rows if is_listed(item) and not now < number(item, "not_before") <= distant]
            found += [(draft, item) for item in due if (draft := read_draft(item))]
            if len(found) >= limit:
                break
        notifications = self._assemble([draft for draft, _ in found[:limit]])
        attempts = [int(number(item, "attempts")) for _, item in found]
        return [Unsent(notification, tried) for notification, tried in zip(notifications, attempts)]

    def mark_sent(self, notification_ids: Iterable[str], sink: str, now: float) -> None:
        """See `Store.mark_sent`; the rows stay, so that one that is missing shows (`deliveries`)."""
        for notification_id in notification_ids:
            self._table.put(sent_row(delivery_key(notification_id, sink), now + self._remembered_seconds))

    def put_off(self, notification_id: str, sink: str, until: float) -> None:
        """See `Store.put_off`; one that is sent, or that somebody else wrote, stays as it is."""
        key = delivery_key(notification_id, sink)
        item = self._table.read([key]).get(key)
        if item is None or not is_listed(item):
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
        self._table.write([*changed_rows(state, rows, expires_at), *deliveries])
        return drafts

    def _next_due(self, kind: str, now: float) -> float | None:
        later = "due_kind = :kind AND due_at > :now"
        query = self._table.find("due", _LISTED[kind], later, {":kind": kind, ":now": now}, page=1)
        return next((number(page[0], "due_at") for page in query), None)

    def _assemble(self, drafts: Sequence[Draft], alerts: Mapping[Key, Alert] | None = None) -> list[Notification]:
        """Return the notifications; reads the alerts that are not among these, which were just stored."""
        known = dict(alerts or {})
        keys = {alert_key(id_) for draft in drafts for id_ in alert_ids(draft)}
        rows = self._table.read(keys - known.keys())
        known |= {key: alert for key, item in rows.items() if (alert := read_alert(item))}
        return [assemble(draft, lambda alert_id: known.get(alert_key(alert_id))) for draft in drafts]
