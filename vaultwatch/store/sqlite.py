"""The Store on one machine: an SQLite database that the handlers of a host share.

They share the alerts, the rate limits and the sightings. Windows, held counts and deliveries belong to the handler that
filed them, because each handler has sinks of its own: no other one closes or sends them.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.contradictions import completes, contradicts, under_own_id
from vaultwatch.dispatch.decisions import close_window, file_event, flush
from vaultwatch.dispatch.drafts import Draft, assemble, priority
from vaultwatch.dispatch.held import by_urgency
from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.dispatch.portions import capped, split_events
from vaultwatch.dispatch.routes import Route
from vaultwatch.store import REMEMBERED_SECONDS, Filed, Unsent, always
from vaultwatch.store import sqlite_rows as rows
from vaultwatch.store.database import Database
from vaultwatch.store.encoding import decode_alert, encode_alert
from vaultwatch.store.expectations import Expected

MAX_ALERTS = 1_000_000
_PAGE = 500
_SCHEMA = (
    """
CREATE TABLE alert (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stored_at REAL NOT NULL,
                    body BLOB NOT NULL);
CREATE INDEX alert_by_age ON alert (stored_at);
CREATE TABLE live (rule TEXT NOT NULL, digest TEXT NOT NULL, since REAL NOT NULL, known_until REAL NOT NULL,
                   PRIMARY KEY (rule, digest)) WITHOUT ROWID;
CREATE TABLE notification (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
                           body BLOB NOT NULL);
CREATE INDEX notification_by_age ON notification (created_at);
CREATE TABLE delivery (notification INTEGER NOT NULL, owner TEXT NOT NULL, sink TEXT NOT NULL,
                       priority INTEGER NOT NULL, created_at REAL NOT NULL, not_before REAL NOT NULL DEFAULT 0,
                       attempts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (notification, sink)) WITHOUT ROWID;
CREATE INDEX delivery_by_priority ON delivery (owner, sink, priority, notification);
"""
    + rows.SCHEMA
)
_ADDED = (
    "CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS seen_by_end ON seen (until)",
    "CREATE TABLE IF NOT EXISTS expected (name TEXT PRIMARY KEY, body BLOB NOT NULL, due_at REAL, until REAL NOT NULL)",
)
"""Tables that files of the same schema, from before there were such, do not have."""


class Backlog(NamedTuple):
    """How many notifications a sink has not accepted, and when the oldest of them was made (seconds of the epoch)."""

    notifications: int
    oldest: float


class SqliteStore:
    """A `Store` in the file `path`; see `Database` for damaged and deleted files.

    After a damaged file was replaced, people may be notified again of alerts that they have seen.

    Args:
        path: The file. Any number of processes share it, each with any number of threads.
        routes: Which notifications each sink of this process wants.
        owner: Whose windows, held counts and deliveries this store handles; the caller excludes a second process with
            the same owner.
    """

    def __init__(self, path: Path, routes: Sequence[Route] = (), owner: str = "") -> None:
        self._database = Database(path, _SCHEMA, self._on_open)
        self._routes = tuple(routes)
        self._owner = owner

    def file(self, filings: Sequence[Filing], now: float) -> Filed:
        """See `Store.file`; the whole call is one transaction."""
        results: dict[int, Recorded] = {}
        filings = capped(filings)
        with self._database.transaction() as db:
            made: list[Notification] = []
            for positions in split_events(filings):
                recorded, drafts = self._file_event(db, [filings[position] for position in positions], now)
                results.update(zip(positions, recorded, strict=True))
                made += self._publish(db, drafts)
        return Filed([results[position] for position in range(len(filings))], made)

    def settle(self, now: float, may_go_on: Callable[[], bool] = always) -> list[Notification]:
        """See `Store.settle`; a transaction closes 500 windows, and summaries are made after the last of them."""
        while may_go_on() and self._is_due("window", now):
            with self._database.transaction() as db:
                _close_page(rows.Rows(db, self._owner), now)
        if not self._is_due("held", now):
            return []
        with self._database.transaction() as db:
            return self._publish(db, _flush_due(rows.Rows(db, self._owner), now))

    def next_due(self, now: float) -> float | None:  # noqa: ARG002
        """See `Store.next_due`."""
        with self._database.reading() as db:
            return rows.Rows(db, self._owner).next_due("window", "held")

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`."""
        oldest_wanted = now - age_seconds if age_seconds else float("inf")
        with self._database.reading() as db:
            found = db.execute(
                "SELECT notification.body, attempts FROM delivery JOIN notification ON seq = delivery.notification"
                " WHERE owner = ? AND sink = ? AND not_before <= ? AND delivery.created_at <= ?"
                " ORDER BY priority, delivery.notification LIMIT ?",
                (self._owner, sink, now, oldest_wanted, limit),
            ).fetchall()
            return [Unsent(_assembled(db, msgspec.json.decode(body, type=Draft)), attempts) for body, attempts in found]

    def backlog(self) -> dict[str, Backlog]:
        """Return what each sink has not accepted yet, by its name; a sink that lacks nothing is not in it.

        Raises:
            StoreError: The store failed.
        """
        with self._database.reading() as db:
            found = db.execute(
                "SELECT sink, count(*), min(created_at) FROM delivery WHERE owner = ? GROUP BY sink", (self._owner,)
            ).fetchall()
        return {str(sink): Backlog(int(count), float(oldest)) for sink, count, oldest in found}

    def mark_sent(self, notification_ids: Iterable[str], sink: str, now: float) -> None:  # noqa: ARG002
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

    def seen(self, names: Collection[str], now: float) -> dict[str, float]:
        """See `Memory.seen`."""
        find = "SELECT until FROM seen WHERE name = ? AND until > ?"
        with self._database.reading() as db:
            found = {name: db.execute(find, (name, now)).fetchone() for name in names}
        return {name: float(row[0]) for name, row in found.items() if row}

    def remember(self, names: Collection[str], until: float) -> None:
        """See `Memory.remember`."""
        with self._database.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", [(name, until) for name in names])

    def rules_live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """See `Memory.rules_live_since`, which is recorded."""
        return {name: min(since, now) for name, since in self.live_since(digests, now).items()}

    def expect(self, expected: Sequence[Expected], now: float) -> None:
        """See `Expectations.expect`."""
        with self._database.transaction() as db:
            for one in expected:
                row = db.execute("SELECT body FROM expected WHERE name = ?", (one.name,)).fetchone()
                if row is None or one.replaces(msgspec.json.decode(row[0], type=Expected)):
                    body = msgspec.json.encode(one)
                    db.execute("INSERT OR REPLACE INTO expected VALUES (?, ?, ?, ?)",
                               (one.name, body, one.due_at, now + REMEMBERED_SECONDS))  # fmt: skip

    def due(self, now: float) -> list[Expected]:
        """See `Expectations.due`."""
        find = "SELECT body FROM expected WHERE due_at <= ? ORDER BY due_at LIMIT ?"
        with self._database.reading() as db:
            return [msgspec.json.decode(body, type=Expected) for (body,) in db.execute(find, (now, _PAGE))]

    def settle_due(self, expected: Expected, now: float) -> None:
        """See `Expectations.settle_due`."""
        settle = "UPDATE expected SET due_at = NULL, until = ? WHERE name = ? AND body = ?"
        with self._database.transaction() as db:
            db.execute(settle, (now + REMEMBERED_SECONDS, expected.name, msgspec.json.encode(expected)))

    def purge(self, now: float) -> int:
        """See `Store.purge`; beyond a million alerts, the oldest are deleted early.

        So are combinations that were seen, beyond as many.
        """
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
            for table in ("seen", "expected"):
                db.execute(f"DELETE FROM {table} WHERE until <= ?", (now,))  # noqa: S608  the names are these two
            db.execute("DELETE FROM seen WHERE name IN (SELECT name FROM seen ORDER BY until DESC LIMIT -1 OFFSET ?)",
                       (MAX_ALERTS,))  # fmt: skip
        return gone

    def close(self) -> None:
        """See `Store.close`."""
        self._database.close()

    def _on_open(self, db: sqlite3.Connection) -> None:
        for statement in _ADDED:
            db.execute(statement)
        db.execute("UPDATE delivery SET not_before = 0 WHERE not_before > 0 AND owner = ?", (self._owner,))

    def _is_due(self, table: str, now: float) -> bool:
        with self._database.reading() as db:
            moment = rows.Rows(db, self._owner).next_due(table)
        return moment is not None and moment <= now

    def _file_event(
        self, db: sqlite3.Connection, event: Sequence[Filing], now: float
    ) -> tuple[list[Recorded], list[Draft]]:
        known: dict[int, Recorded] = {}
        fresh: list[Filing] = []
        for index, filing in enumerate(event):
            added, recorded = _add_or_complete(db, filing, now)
            if recorded is None:
                fresh.append(added)
            else:
                known[index] = recorded
        of_owner = rows.Rows(db, self._owner)
        state = of_owner.state_for([filing for filing in fresh if filing.notify])
        filed = iter(file_event(fresh, state, now))
        of_owner.write(state)
        return [known[index] if index in known else next(filed) for index in range(len(event))], state.drafts

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
                "INSERT INTO delivery (notification, owner, sink, priority, created_at) VALUES (?, ?, ?, ?, ?)",
                [(seq, self._owner, sink, priority(draft), draft.created_at) for sink in sinks],
            )
            made.append(_assembled(db, draft))
        return made


def _close_page(of_owner: rows.Rows, now: float) -> None:
    windows, state = of_owner.ended_windows(now, _PAGE)
    for window in windows:
        close_window(window, state, now)
    of_owner.delete_windows(windows)
    of_owner.write(state)


def _flush_due(of_owner: rows.Rows, now: float) -> list[Draft]:
    """Return drafts of the summaries that are due, the most urgent first."""
    due, state = of_owner.due_held(now)
    for held in sorted(due, key=by_urgency):
        flush(held, state, now)
    of_owner.write(state)
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


def _add_or_complete(db: sqlite3.Connection, filing: Filing, now: float) -> tuple[Filing, Recorded | None]:
    """Add an alert; if its id is known, complete the stored one, or add it under another id if they contradict."""
    if _add(db, filing, now):
        return filing, None
    stored = _alert(db, filing.alert.id)
    if stored is not None and contradicts(filing.alert, stored):
        filing = replace(filing, alert=under_own_id(filing.alert))
        if _add(db, filing, now):
            return filing, None
        stored = _alert(db, filing.alert.id)
    return filing, _complete(db, filing.alert, stored)


def _complete(db: sqlite3.Connection, alert: Alert, stored: Alert | None) -> Recorded:
    if stored is None or not completes(alert, stored):
        return Recorded(alert.id, new=False)
    body = encode_alert(replace(alert, late=stored.late))
    db.execute("UPDATE alert SET body = ? WHERE id = ?", (body, alert.id))
    return Recorded(alert.id, new=False, completed=True)


def _alert(db: sqlite3.Connection, alert_id: str) -> Alert | None:
    row = db.execute("SELECT body FROM alert WHERE id = ?", (alert_id,)).fetchone()
    return None if row is None else decode_alert(row[0])


def _assembled(db: sqlite3.Connection, draft: Draft) -> Notification:
    return assemble(draft, lambda alert_id: _alert(db, alert_id))
