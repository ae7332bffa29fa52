"""The Store on one machine: an SQLite database of one process."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import State, close_window, file_event, flush, split_events
from vaultwatch.dispatch.drafts import Draft, assemble, priority
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import Limit
from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.dispatch.routes import Route
from vaultwatch.dispatch.same_fact import Sightings, family_of
from vaultwatch.store import REMEMBERED_SECONDS, Filed, Unsent, always
from vaultwatch.store.database import Database
from vaultwatch.store.encoding import decode_alert, encode_alert

MAX_ALERTS = 1_000_000
_PAGE = 500
_SCHEMA = """
CREATE TABLE alert (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stored_at REAL NOT NULL,
                    body BLOB NOT NULL);
CREATE INDEX alert_by_age ON alert (stored_at);
CREATE TABLE window (key TEXT PRIMARY KEY, due_at REAL NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX window_by_end ON window (due_at);
CREATE TABLE held (key TEXT PRIMARY KEY, due_at REAL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sightings (key TEXT PRIMARY KEY, due_at REAL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rate_limit (key TEXT PRIMARY KEY, due_at REAL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE live (rule TEXT NOT NULL, digest TEXT NOT NULL, since REAL NOT NULL, known_until REAL NOT NULL,
                   PRIMARY KEY (rule, digest)) WITHOUT ROWID;
CREATE TABLE notification (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
                           body BLOB NOT NULL);
CREATE INDEX notification_by_age ON notification (created_at);
CREATE TABLE delivery (notification INTEGER NOT NULL, sink TEXT NOT NULL, priority INTEGER NOT NULL,
                       created_at REAL NOT NULL, not_before REAL NOT NULL DEFAULT 0,
                       attempts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (notification, sink)) WITHOUT ROWID;
CREATE INDEX delivery_by_priority ON delivery (sink, priority, notification);
"""
_ON_OPEN = "UPDATE delivery SET not_before = 0 WHERE not_before > 0"
_T = TypeVar("_T", bound=msgspec.Struct)


class SqliteStore:
    """A `Store` in the file `path`; see `Database` for damaged and deleted files.

    One process and any number of its threads use it; the caller excludes a second process. After a damaged file was
    replaced, people may be notified again of alerts that they have seen.
    """

    def __init__(self, path: Path, routes: Sequence[Route] = ()) -> None:
        self._database = Database(path, _SCHEMA, _ON_OPEN)
        self._routes = tuple(routes)

    def file(self, filings: Sequence[Filing], now: float) -> Filed:
        """See `Store.file`; the whole call is one transaction."""
        results: dict[int, Recorded] = {}
        with self._database.transaction() as db:
            made: list[Notification] = []
            for positions in split_events(filings):
                recorded, drafts = _file_event(db, [filings[position] for position in positions], now)
                results.update(zip(positions, recorded, strict=True))
                made += self._publish(db, drafts)
        return Filed([results[position] for position in range(len(filings))], made)

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """See `Store.settle`; a transaction closes 500 windows, and summaries are made after the last of them."""
        while may_go_on() and self._is_due("window", now):
            with self._database.transaction() as db:
                _close_page(db, now)
        if not self._is_due("held", now):
            return []
        with self._database.transaction() as db:
            return self._publish(db, _flush_due(db, now))

    def next_due(self, now: float) -> float | None:  # noqa: ARG002
        """See `Store.next_due`."""
        with self._database.reading() as db:
            (moment,) = db.execute(
                "SELECT min(at) FROM (SELECT min(due_at) AS at FROM window UNION ALL SELECT min(due_at) FROM held)"
            ).fetchone()
        return None if moment is None else float(moment)

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`."""
        oldest_wanted = now - age_seconds if age_seconds else float("inf")
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT notification.body, attempts FROM delivery JOIN notification ON seq = delivery.notification"
                " WHERE sink = ? AND not_before <= ? AND delivery.created_at <= ?"
                " ORDER BY priority, delivery.notification LIMIT ?",
                (sink, now, oldest_wanted, limit),
            ).fetchall()
            return [Unsent(_assembled(db, msgspec.json.decode(body, type=Draft)), attempts) for body, attempts in rows]

    def mark_sent(self, notification_ids: Iterable[str], sink: str) -> None:
        """See `Store.mark_sent`; a notification that every sink has accepted is deleted."""
        ids = list(notification_ids)
        with self._database.transaction() as db:
            db.executemany(
                "DELETE FROM delivery WHERE sink = ? AND notification = (SELECT seq FROM notification WHERE id = ?)",
                [(sink, id_) for id_ in ids],
            )
            db.executemany(
                "DELETE FROM notification WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM delivery WHERE notification = seq)",
                [(id_,) for id_ in ids],
            )

    def put_off(self, notification_id: str, sink: str, until: float) -> None:
        """See `Store.put_off`; after the store was opened again, nothing is postponed."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE delivery SET attempts = attempts + 1, not_before = ?"
                " WHERE sink = ? AND notification = (SELECT seq FROM notification WHERE id = ?)",
                (until, sink, notification_id),
            )

    def live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """See `Store.live_since`."""
        known_until = now + REMEMBERED_SECONDS
        with self._database.transaction() as db:
            db.execute("DELETE FROM live WHERE known_until <= ?", (now,))
            db.executemany(
                "INSERT INTO live VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET known_until = excluded.known_until",
                [(rule, digest, now, known_until) for rule, digest in digests.items()],
            )
            find = "SELECT since FROM live WHERE rule = ? AND digest = ?"
            return {rule: float(db.execute(find, (rule, digest)).fetchone()[0]) for rule, digest in digests.items()}

    def purge(self, now: float) -> int:
        """See `Store.purge`; beyond a million alerts, the oldest are deleted early."""
        before = now - REMEMBERED_SECONDS
        with self._database.transaction() as db:
            gone = db.execute("DELETE FROM alert WHERE seq IN (SELECT seq FROM alert WHERE stored_at < ? LIMIT ?)",
                              (before, _PAGE)).rowcount  # fmt: skip
            gone += db.execute("DELETE FROM alert WHERE seq IN (SELECT seq FROM alert WHERE seq <="
                               " (SELECT max(seq) FROM alert) - ? ORDER BY seq LIMIT ?)",
                               (MAX_ALERTS, _PAGE)).rowcount  # fmt: skip
            old = db.execute("SELECT seq FROM notification WHERE created_at < ? LIMIT ?", (before, _PAGE)).fetchall()
            db.executemany("DELETE FROM delivery WHERE notification = ?", old)
            db.executemany("DELETE FROM notification WHERE seq = ?", old)
        return gone

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()

    def _is_due(self, table: str, now: float) -> bool:
        with self._database.reading() as db:
            (moment,) = db.execute(f"SELECT min(due_at) FROM {table}").fetchone()  # noqa: S608 - one of ours
        return moment is not None and moment <= now

    def _publish(self, db: sqlite3.Connection, drafts: Iterable[Draft]) -> list[Notification]:
        """Store the drafts that a sink wants, with their deliveries, and return them as notifications."""
        made: list[Notification] = []
        for one in drafts:
            sinks = [route.sink for route in self._routes if route.wants(one.disposition, one.head.level)]
            if not sinks:
                continue
            draft = _with_own_id(db, one)
            seq = _insert(db, draft)
            db.executemany(
                "INSERT INTO delivery (notification, sink, priority, created_at) VALUES (?, ?, ?, ?)",
                [(seq, sink, priority(draft), draft.created_at) for sink in sinks],
            )
            made.append(_assembled(db, draft))
        return made


def _file_event(db: sqlite3.Connection, event: Sequence[Filing], now: float) -> tuple[list[Recorded], list[Draft]]:
    known = {index: _complete(db, filing.alert) for index, filing in enumerate(event) if not _add(db, filing, now)}
    fresh = [filing for index, filing in enumerate(event) if index not in known]
    state = _load_state(db, [filing for filing in fresh if filing.notify])
    filed = iter(file_event(fresh, state, now))
    _write(db, state)
    return [known[index] if index in known else next(filed) for index in range(len(event))], state.drafts


def _close_page(db: sqlite3.Connection, now: float) -> None:
    rows = db.execute("SELECT body FROM window WHERE due_at <= ? LIMIT ?", (now, _PAGE)).fetchall()
    windows = [msgspec.json.decode(body, type=Window) for (body,) in rows]
    state = State(held=_read(db, "held", {window.head.rule for window in windows}, Held))
    for window in windows:
        close_window(window, state, now)
    db.executemany("DELETE FROM window WHERE key = ?", [(window.group,) for window in windows])
    _write(db, state)


def _flush_due(db: sqlite3.Connection, now: float) -> list[Draft]:
    """Return drafts of the summaries that are due, the highest levels first."""
    rows = db.execute("SELECT body FROM held WHERE due_at <= ?", (now,)).fetchall()
    state = _with_limits(db, State())
    for held in sorted(_decoded(rows, Held), key=lambda held: -held.head.level.rank):
        flush(held, state, now)
    _write(db, state)
    return state.drafts


def _with_own_id(db: sqlite3.Connection, draft: Draft) -> Draft:
    """Give a draft an unused id: an alert that was deleted early may return while its notification still waits."""
    if db.execute("SELECT 1 FROM notification WHERE id = ?", (draft.id,)).fetchone() is None:
        return draft
    return replace(draft, id=f"{draft.id}-{uuid.uuid4().hex}")


def _insert(db: sqlite3.Connection, draft: Draft) -> int | None:
    insert = "INSERT INTO notification (id, created_at, body) VALUES (?, ?, ?)"
    return db.execute(insert, (draft.id, draft.created_at, msgspec.json.encode(draft))).lastrowid


def _add(db: sqlite3.Connection, filing: Filing, now: float) -> bool:
    alert = filing.alert
    insert = "INSERT OR IGNORE INTO alert (id, stored_at, body) VALUES (?, ?, ?)"
    return db.execute(insert, (alert.id, now, encode_alert(alert))).rowcount == 1


def _complete(db: sqlite3.Connection, alert: Alert) -> Recorded:
    stored = _alert(db, alert.id)
    if stored is None or stored.outcome != "unknown" or alert.outcome == "unknown":
        return Recorded(alert.id, new=False)
    body = encode_alert(replace(alert, late=stored.late))
    db.execute("UPDATE alert SET body = ? WHERE id = ?", (body, alert.id))
    return Recorded(alert.id, new=False, completed=True)


def _alert(db: sqlite3.Connection, alert_id: str) -> Alert | None:
    row = db.execute("SELECT body FROM alert WHERE id = ?", (alert_id,)).fetchone()
    return None if row is None else decode_alert(row[0])


def _assembled(db: sqlite3.Connection, draft: Draft) -> Notification:
    return assemble(draft, lambda alert_id: _alert(db, alert_id))


def _load_state(db: sqlite3.Connection, filings: Sequence[Filing]) -> State:
    alerts = [filing.alert for filing in filings]
    state = State(
        windows=_read(db, "window", {filing.group for filing in filings}, Window),
        held=_read(db, "held", {alert.rule for alert in alerts}, Held),
        sightings=_read(db, "sightings", {family_of(alert) for alert in alerts if alert.same_as}, Sightings),
    )
    return _with_limits(db, state)


def _with_limits(db: sqlite3.Connection, state: State) -> State:
    limits = _read(db, "rate_limit", {"ordinary", "urgent"}, Limit)
    state.ordinary, state.urgent = limits.get("ordinary", Limit()), limits.get("urgent", Limit())
    return state


def _read(db: sqlite3.Connection, table: str, keys: set[str], type_: type[_T]) -> dict[str, _T]:
    find = f"SELECT body FROM {table} WHERE key = ?"  # noqa: S608 - one of ours
    return {key: found for key in keys for found in _decoded(db.execute(find, (key,)), type_)}


def _decoded(rows: Iterable[tuple[bytes]], type_: type[_T]) -> Iterator[_T]:
    return (msgspec.json.decode(body, type=type_) for (body,) in rows)


def _write(db: sqlite3.Connection, state: State) -> None:
    _put(db, "window", ((key, window.closes_at, window) for key, window in state.windows.items()))
    _put(db, "held", ((key, held.due_at, held) for key, held in state.held.items()))
    _put(db, "sightings", ((key, None, sightings) for key, sightings in state.sightings.items()))
    limits = {"ordinary": state.ordinary, "urgent": state.urgent}
    _put(db, "rate_limit", ((key, None, limit) for key, limit in limits.items() if limit.moments))


def _put(db: sqlite3.Connection, table: str, rows: Iterable[tuple[str, float | None, msgspec.Struct]]) -> None:
    db.executemany(
        f"REPLACE INTO {table} VALUES (?, ?, ?)",  # noqa: S608 - one of ours
        [(key, due_at, msgspec.json.encode(row)) for key, due_at, row in rows],
    )
