"""Convert the state of dispatch to rows of the table, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import State
from vaultwatch.dispatch.drafts import Draft, priority
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import Limit
from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Filing
from vaultwatch.dispatch.routes import Route
from vaultwatch.dispatch.same_fact import Sightings, family_of
from vaultwatch.dispatch.soundness import MAX_STATE_BYTES, is_sound
from vaultwatch.reading.bounds import bounded, brief
from vaultwatch.rules.facts import Level
from vaultwatch.seals import foreign_rows
from vaultwatch.store.dynamodb.schema import (
    ATTEMPTS,
    DUE_AT,
    EXPIRES_AT,
    Key,
    alert_key,
    critical_calendar,
    delivery_key,
    held_key,
    limit_key,
    sightings_key,
    sink_calendar,
    window_key,
)
from vaultwatch.store.dynamodb.table import SETTLED, Item, Row, Wait, body_of, number, place_of, replace_row
from vaultwatch.store.encoding import decode_alert, encode_alert

MAX_ALERT_BYTES = 120_000
SENT = b"sent"
"""The content of the row of a notification that its sink has accepted."""
GATHERED = 50
"""How many alerts at most a notification for a batched sink holds."""
SHARED_KEYS = (limit_key("ordinary"), limit_key("urgent"))
"""The keys of rows that all alerts share. Only a notification writes them: a flood of suppressed alerts reads them."""
_T = TypeVar("_T")


def read_body(item: Item, type_: type[_T]) -> _T | None:
    """Decode the content of a row; None if Vaultwatch did not write it, or it is not sound.

    Such a row is treated as a missing one: whoever can write to the table must not be able to hold back alerts.
    """
    return _readable(item, partial(_sound, type_))


def read_alert(item: Item) -> Alert | None:
    """Decode the alert of a row; None if Vaultwatch did not write it."""
    return _readable(item, decode_alert)


def read_window(item: Item) -> Window | None:
    """Decode the window of a row; None if Vaultwatch did not write it."""
    return read_body(item, Window)


def read_held(item: Item) -> Held | None:
    """Decode what a rule holds; None if Vaultwatch did not write it."""
    return read_body(item, Held)


def read_added(item: Item) -> Held | None:
    """Decode what a writer in a crowd adds to what a rule holds; None if Vaultwatch did not write it."""
    added = read_body(item, Held)
    return added if added and added.tallies else None


def read_draft(item: Item) -> Draft | None:
    """Decode a notification that is not sent; None if Vaultwatch did not write it."""
    return read_body(item, Draft)


def _sound(type_: type[_T], body: bytes) -> _T:
    if len(body) > MAX_STATE_BYTES or not is_sound(state := msgspec.json.decode(body, type=type_)):
        raise msgspec.DecodeError("dispatch has not made this")
    return state


def _readable(item: Item, decode: Callable[[bytes], _T]) -> _T | None:
    body = body_of(item)
    if body is None or body == SETTLED:  # None: of a foreign row
        return None
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        foreign_rows.add(place_of(item))
        return None


def needed(event: Sequence[Filing]) -> Iterator[Key]:
    """Yield the keys of the rows that filing an event reads, without those that all events share."""
    for filing in event:
        yield alert_key(filing.alert.id)
        if filing.notify:
            yield held_key(filing.alert.rule)
        if filing.notify and not filing.deferred:
            yield window_key(filing.group)
            if filing.alert.same_as:
                yield sightings_key(family_of(filing.alert))


def load_state(rows: Mapping[Key, Item]) -> State:
    """Return the state of dispatch from the rows that were read."""
    state = State()
    for (_, kind), item in rows.items():
        if kind == "window" and (window := read_window(item)):
            state.windows[window.group] = window
        elif kind == "held" and (held := read_held(item)):
            state.held[held.head.rule] = held
        elif kind == "sightings" and (sightings := read_body(item, Sightings)):
            state.sightings[sightings.family] = sightings
    state.ordinary, state.urgent = (
        read_body(rows[key], Limit) or Limit() if key in rows else Limit() for key in SHARED_KEYS
    )
    return state


def changed_rows(state: State, rows: Mapping[Key, Item], expires_at: float) -> list[Row]:
    """Return the rows of a state that differ from what was read."""
    made = [
        *map(_window_row, state.windows.values()),
        *map(_held_row, state.held.values()),
        *(_sightings_row(sightings, expires_at) for sightings in state.sightings.values()),
        *(
            Row(key, msgspec.json.encode(limit), None)
            for key, limit in zip(SHARED_KEYS, (state.ordinary, state.urgent), strict=True)
            if limit.moments
        ),
    ]
    found = {row.key: rows.get(row.key) for row in made}
    changed = [row for row in made if row.body != body_of(found[row.key])]
    return [replace_row(found[row.key], row.key, row.body, row.marks, row.waits) for row in changed]


def prepared(drafts: Sequence[Draft], routes: Sequence[Route]) -> list[Draft]:
    """Return the drafts that a sink wants; those that only batched sinks want are gathered in a few."""
    alone, together = list[Draft](), dict[Disposition, list[Draft]]()
    for draft in drafts:
        wanting = [route for route in routes if route.wants(draft.disposition, draft.head.level)]
        if wanting and all(route.batched for route in wanting) and not draft.merged_count:
            together.setdefault(draft.disposition, []).append(draft)
        elif wanting:
            alone.append(draft)
    for some in together.values():
        alone += [_gathered(some[at : at + GATHERED]) for at in range(0, len(some), GATHERED)]
    return alone


def _gathered(drafts: Sequence[Draft]) -> Draft:
    """Return one draft with the alerts of several."""
    lead = min(drafts, key=priority)
    return replace(lead, alert_ids=tuple(id_ for draft in drafts for id_ in draft.alert_ids))


def delivery_rows(drafts: Sequence[Draft], routes: Sequence[Route], expires_at: float) -> list[Row]:
    """Return a row for each sink that wants a notification; it replaces the rest of an earlier one with this id."""
    return [
        Row(
            delivery_key(draft.id, route.sink),
            msgspec.json.encode(draft),
            None,
            {DUE_AT: draft.created_at, ATTEMPTS: 0, EXPIRES_AT: int(expires_at)},
            guarded=False,
            waits=Wait(_calendar(draft, route.sink), draft.created_at),
        )
        for draft in drafts
        for route in routes
        if route.wants(draft.disposition, draft.head.level)
    ]


def _calendar(draft: Draft, sink: str) -> str:
    is_critical = draft.disposition in NOTIFIED and draft.head.level is Level.CRITICAL
    return critical_calendar(sink) if is_critical else sink_calendar(sink)


def fitting(filing: Filing) -> Filing:
    """Return the filing with its alert cut to the size of a row; alerts of the detector are never that large."""
    alert = filing.alert
    if len(encode_alert(alert)) <= MAX_ALERT_BYTES:
        return filing
    texts = {name: brief(value) for name, value in msgspec.structs.asdict(alert).items() if type(value) is str}
    actions = tuple(brief(action) for action in alert.actions[:20])
    readable = msgspec.json.decode(encode_alert(alert))["record"]
    return replace(filing, alert=replace(alert, **texts, actions=actions, record=bounded(readable)))


def sent_row(key: Key, expires_at: float) -> Row:
    """Return what is left of the row of a notification once its sink has accepted it."""
    return Row(key, SENT, None, {EXPIRES_AT: int(expires_at)}, guarded=False)


def put_off(item: Item, key: Key, until: float) -> Row:
    """Return the row of a notification that was not accepted, to be tried again at a time.

    It stays in its calendar, whatever that is: its appointment is replaced by one for that time.
    """
    marks = {ATTEMPTS: number(item, ATTEMPTS) + 1, EXPIRES_AT: number(item, EXPIRES_AT)}
    return replace_row(item, key, body_of(item) or b"", marks, Wait(key[1], until))


def _window_row(window: Window) -> Row:
    return Row(window_key(window.group), msgspec.json.encode(window), None, waits=Wait("window", window.closes_at))


def _held_row(held: Held) -> Row:
    """Return the row of what a rule holds. It never expires: there is one for each rule."""
    waits = None if held.due_at is None else Wait("held", held.due_at)
    return Row(held_key(held.head.rule), msgspec.json.encode(held), None, waits=waits)


def _sightings_row(sightings: Sightings, expires_at: float) -> Row:
    key = sightings_key(sightings.family)
    return Row(key, msgspec.json.encode(sightings), None, {EXPIRES_AT: int(expires_at)})
