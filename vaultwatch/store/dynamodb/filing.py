"""File whole events in transactions, as many events in each as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import State, file_event
from vaultwatch.dispatch.drafts import Draft
from vaultwatch.dispatch.notification import Filing, Recorded
from vaultwatch.dispatch.portions import ALERTS_PER_NOTIFICATION, split_events
from vaultwatch.dispatch.routes import Route
from vaultwatch.store.dynamodb.rows import (
    SHARED_KEYS,
    body_of,
    changed_rows,
    delivery_rows,
    load_state,
    needed,
    read_body,
)
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, Key, alert_key
from vaultwatch.store.dynamodb.table import MAX_ACTIONS, MAX_TRANSACTION_BYTES, Item, Row, Table, number
from vaultwatch.store.encoding import encode_alert

_ROWS_OF_AN_ALERT = 4
_OTHER_BYTES = 20_000  # the most that the rows besides an alert take: its window, what its rule holds, a notification


class Work(msgspec.Struct, frozen=True):
    """Events that one transaction files. If `do` is called again, it starts again from the beginning."""

    events: list[list[Filing]]
    routes: tuple[Route, ...]
    remembered_seconds: float

    def do(self, table: Table, now: float) -> tuple[list[Recorded], list[Draft]]:
        """Read the rows of these events, let dispatch decide, and write what has changed.

        Returns:
            A result for each filing, and the drafts that a sink wants.

        Raises:
            Conflict: A row has changed meanwhile; nothing was written.
        """
        rows = table.read([*SHARED_KEYS, *(key for event in self.events for key in needed(event))])
        known, state = _known(rows, now), load_state(rows)
        alerts = dict(known)
        results = [result for event in self.events for result in _file(event, alerts, state, now)]
        expires_at = now + self.remembered_seconds
        expiries = {key: number(rows[key], EXPIRES_AT) for key in known}  # kept when an alert is completed
        written = [
            Row(key, encode_alert(alert), body_of(rows.get(key)), {EXPIRES_AT: int(expiries.get(key, expires_at))})
            for key, alert in alerts.items()
            if known.get(key) is not alert
        ]
        deliveries = delivery_rows(state.drafts, self.routes, expires_at)
        table.write([*written, *changed_rows(state, rows, expires_at), *deliveries])
        return results, wanted(state.drafts, self.routes)


class Load(msgspec.Struct, frozen=True):
    """The largest possible size of a transaction."""

    sinks: int
    keys: frozenset[Key] = frozenset(SHARED_KEYS)
    deliveries: int = 0
    size_bytes: int = 0

    def with_event(self, event: Sequence[Filing]) -> Load:
        """Return the load with one more event."""
        return Load(
            self.sinks,
            self.keys.union(needed(event)),
            self.deliveries + len(event) * self.sinks,
            self.size_bytes + sum(len(encode_alert(filing.alert)) + _OTHER_BYTES for filing in event),
        )

    def fits(self) -> bool:
        """Return whether it fits into one transaction."""
        return len(self.keys) + self.deliveries <= MAX_ACTIONS and self.size_bytes <= MAX_TRANSACTION_BYTES


def share_out(filings: Sequence[Filing], sinks: int) -> list[list[list[int]]]:
    """Divide filings among transactions: for each one its events, and for each event the positions of its filings."""
    shares: list[list[list[int]]] = []
    load = Load(sinks)
    most = (MAX_ACTIONS - len(SHARED_KEYS)) // (_ROWS_OF_AN_ALERT + sinks)
    for positions in split_events(filings, min(ALERTS_PER_NOTIFICATION, most)):
        event = [filings[at] for at in positions]
        if shares and (more := load.with_event(event)).fits():
            shares[-1].append(positions)
            load = more
        else:
            shares.append([positions])
            load = Load(sinks).with_event(event)
    return shares


def wanted(drafts: Sequence[Draft], routes: Sequence[Route]) -> list[Draft]:
    """Return the drafts that a sink wants."""
    return [draft for draft in drafts if any(route.wants(draft.disposition, draft.head.level) for route in routes)]


def _known(rows: Mapping[Key, Item], now: float) -> dict[Key, Alert]:
    return {
        key: read_body(item, Alert)
        for key, item in rows.items()
        if key[1] == "alert" and number(item, EXPIRES_AT) > now
    }


def _file(event: Sequence[Filing], alerts: dict[Key, Alert], state: State, now: float) -> list[Recorded]:
    """Decide about the new alerts of an event and complete known ones; changes `alerts` and `state`."""
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
    filed = iter(file_event(fresh, state, now))
    return [known[index] if index in known else next(filed) for index in range(len(event))]
