"""File whole events in transactions, as many events in each as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.contradictions import completes, contradicts, under_own_id
from vaultwatch.dispatch.decisions import State, file_event
from vaultwatch.dispatch.drafts import Draft
from vaultwatch.dispatch.groups import is_urgent
from vaultwatch.dispatch.limits import FIRSTS_A_MINUTE
from vaultwatch.dispatch.notification import NOTIFIED, Filing, Recorded
from vaultwatch.dispatch.portions import ALERTS_PER_NOTIFICATION, split_events
from vaultwatch.dispatch.routes import Route
from vaultwatch.reading.bounds import bounded
from vaultwatch.store.dynamodb.calendar import with_appointments
from vaultwatch.store.dynamodb.crowd import added_rows, hide_alerts
from vaultwatch.store.dynamodb.rows import (
    GATHERED,
    SHARED_KEYS,
    changed_rows,
    delivery_rows,
    load_state,
    needed,
    prepared,
    read_alert,
)
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, Key, alert_key
from vaultwatch.store.dynamodb.table import (
    MAX_ACTIONS,
    MAX_TRANSACTION_BYTES,
    Item,
    Table,
    number,
    replace_row,
)
from vaultwatch.store.encoding import decode_alert, encode_alert, pack_alert

SUPPRESSED_RECORD_BYTES = 4096
"""The most of a record that is stored of an alert that notifies nobody; the archive has the whole entry."""
_ROWS_OF_AN_ALERT = 4
_CALENDARS = 3
"""In which rows of a transaction wait, besides those of the sinks: windows, what rules hold, and what is added."""
_SINK_CALENDARS = 2
"""In which the notifications of a sink wait."""
_OTHER_BYTES = 40_000
"""The most that the rows besides an alert take: its window, what its rule holds, a notification with twenty groups."""


class Done(NamedTuple):
    """What a transaction did: a result for each filing, the drafts that a sink wants, and the alerts as stored."""

    recorded: list[Recorded]
    drafts: list[Draft]
    alerts: dict[Key, Alert]


class Work(msgspec.Struct, frozen=True):
    """Events that one transaction files. If `do` is called again, it starts again from the beginning."""

    events: list[list[Filing]]
    routes: tuple[Route, ...]
    remembered_seconds: float

    def do(self, table: Table, now: float, *, crowded: bool) -> Done:
        """Read the rows of these events, let dispatch decide, and write what has changed.

        Args:
            table: The table.
            now: The present time.
            crowded: Whether there are other writers of the same rules (see `crowd`).

        Raises:
            Conflict: A row has changed meanwhile; nothing was written.
        """
        rows = table.read([*SHARED_KEYS, *(key for event in self.events for key in needed(event))])
        known, state = _known(rows, now), load_state(rows)
        events = _set_apart(self.events, {alert.id: alert for alert in known.values()})
        if events != self.events:
            rows |= table.read(alert_key(filing.alert.id) for event in events for filing in event)
            known = _known(rows, now)
        alerts, hidden = dict(known), hide_alerts(state) if crowded else {}
        results = [result for event in events for result in _file(event, alerts, state, now)]
        expires_at = now + self.remembered_seconds
        added = added_rows(state, hidden, now) if crowded else []
        drafts = prepared(state.drafts, self.routes)
        written = [
            replace_row(
                rows.get(key),
                key,
                pack_alert(alert),
                {EXPIRES_AT: _expiry(rows[key] if key in known else None, expires_at)},
            )
            for key, alert in alerts.items()
            if known.get(key) is not alert
        ]
        deliveries = delivery_rows(drafts, self.routes, expires_at)
        table.write(with_appointments([*written, *added, *changed_rows(state, rows, expires_at), *deliveries], now))
        return Done(results, drafts, {row.key: decode_alert(row.body) for row in written})


class Load(msgspec.Struct, frozen=True):
    """The largest possible size of a transaction.

    Conditions compare versions, not bodies, so it is at most the size of what it writes.
    """

    routes: tuple[Route, ...]
    keys: frozenset[Key] = frozenset(SHARED_KEYS)
    alerts: int = 0
    ordinary: int = 0
    urgent: int = 0
    size_bytes: int = 0

    def with_event(self, event: Sequence[Filing]) -> Load:
        """Return the load with one more event."""
        urgent = any(is_urgent(filing.alert) for filing in event)
        return Load(
            self.routes,
            self.keys.union(needed(event)),
            self.alerts + len(event),
            self.ordinary + (not urgent),
            self.urgent + urgent,
            self.size_bytes + sum(len(encode_alert(filing.alert)) + _OTHER_BYTES for filing in event),
        )

    def fits(self) -> bool:
        """Return whether it fits into one transaction."""
        rows = len(self.keys) + self._deliveries + _appointments(self.routes)
        return rows <= MAX_ACTIONS and self.size_bytes <= MAX_TRANSACTION_BYTES

    @property
    def _deliveries(self) -> int:
        """An event has one notification for people at most, and the limits bound the ordinary ones."""
        notified = min(self.ordinary, FIRSTS_A_MINUTE) + self.urgent
        gathered = 2 * (1 + self.alerts // GATHERED)
        alone = [route for route in self.routes if not route.batched]
        every = sum(not route.dispositions <= NOTIFIED for route in alone)
        return every * self.alerts + (len(alone) - every) * notified + (len(self.routes) - len(alone)) * gathered


def share_out(filings: Sequence[Filing], routes: tuple[Route, ...]) -> list[list[list[int]]]:
    """Divide filings among transactions: for each one its events, and for each event the positions of its filings."""
    shares: list[list[list[int]]] = []
    load = Load(routes)
    most = (MAX_ACTIONS - len(SHARED_KEYS) - _appointments(routes)) // (_ROWS_OF_AN_ALERT + len(routes))
    for positions in split_events(filings, min(ALERTS_PER_NOTIFICATION, most)):
        event = [filings[at] for at in positions]
        if shares and (more := load.with_event(event)).fits():
            shares[-1].append(positions)
            load = more
        else:
            shares.append([positions])
            load = Load(routes).with_event(event)
    return shares


def _appointments(routes: Sequence[Route]) -> int:
    """Return how many rows of calendars a transaction writes at most."""
    return _CALENDARS + _SINK_CALENDARS * len(routes)


def _known(rows: Mapping[Key, Item], now: float) -> dict[Key, Alert]:
    stored = {key: item for key, item in rows.items() if key[1] == "alert" and number(item, EXPIRES_AT) > now}
    return {key: alert for key, item in stored.items() if (alert := read_alert(item))}


def _set_apart(events: Sequence[Sequence[Filing]], stored: Mapping[str, Alert]) -> list[list[Filing]]:
    """Return events with ids of their own for alerts that contradict a stored one, or one before them."""
    known = dict(stored)
    return [[_apart(filing, known) for filing in event] for event in events]


def _apart(filing: Filing, known: dict[str, Alert]) -> Filing:
    alert = filing.alert
    first = known.setdefault(alert.id, alert)
    if contradicts(alert, first):
        return replace(filing, alert=under_own_id(alert))
    if completes(alert, first):
        known[alert.id] = alert
    return filing


def _expiry(known: Item | None, expires_at: float) -> int:
    """Return when an alert expires; one that is completed keeps its own time."""
    return int(expires_at if known is None else min(number(known, EXPIRES_AT), expires_at))


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
        elif completes(filing.alert, stored):
            alerts[key] = replace(filing.alert, late=stored.late)
            known[index] = Recorded(filing.alert.id, new=False, completed=True)
        else:
            known[index] = Recorded(filing.alert.id, new=False)
    results = file_event(fresh, state, now)
    for filing, result in zip(fresh, results, strict=True):
        if result.disposition not in NOTIFIED:
            alerts[alert_key(filing.alert.id)] = _shortened(filing.alert)
    filed = iter(results)
    return [known[index] if index in known else next(filed) for index in range(len(event))]


def _shortened(alert: Alert) -> Alert:
    body = encode_alert(alert)
    if len(body) <= SUPPRESSED_RECORD_BYTES:
        return alert
    return replace(alert, record=bounded(decode_alert(body).record, SUPPRESSED_RECORD_BYTES))
