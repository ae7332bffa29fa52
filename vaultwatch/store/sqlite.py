"""The Store on one machine: an SQLite database of one process.

Written ahead and synchronised in full at every commit, so that what a call returned survives a kill at any
instruction and a power cut. Readable by its owner only: alerts name people and secrets' paths.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import (
    Books,
    Draft,
    Period,
    RuleSlot,
    assemble,
    close_period,
    empty_slot,
    file_event,
    split_events,
    urgency,
)
from vaultwatch.dispatch.notification import Filing, Notification, Recorded, Route
from vaultwatch.encoding import decode_alert, encode_alert
from vaultwatch.store import REMEMBERED_SECONDS, StoreError, Unsent

SCHEMA_VERSION = 1
MAX_ALERTS = 1_000_000
_PAGE = 500
_SCHEMA = """
CREATE TABLE alert (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, stored_at REAL NOT NULL,
                    body BLOB NOT NULL);
CREATE INDEX alert_by_age ON alert (stored_at);
CREATE TABLE period ("group" TEXT PRIMARY KEY, closes_at REAL NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX period_by_end ON period (closes_at);
CREATE TABLE slot (rule TEXT PRIMARY KEY, due_at REAL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE message (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
                      body BLOB NOT NULL);
CREATE INDEX message_by_age ON message (created_at);
CREATE TABLE delivery (message INTEGER NOT NULL, sink TEXT NOT NULL, urgency INTEGER NOT NULL,
                       created_at REAL NOT NULL, not_before REAL NOT NULL DEFAULT 0,
                       attempts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (message, sink)) WITHOUT ROWID;
CREATE INDEX delivery_by_urgency ON delivery (sink, urgency, message);
"""
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_File = tuple[int, int]
"""Device and inode."""
_T = TypeVar("_T", bound=msgspec.Struct)


class SqliteStore:
    """`Store` in the file `path`, which is made, with its directory, by the first call that needs it.

    One process and any number of its threads use it; a second process is kept out by whoever opens the store.
    A database that cannot be read any more is renamed to `<path>.corrupt-<n>` and a new one is begun: the call that
    found it raises `StoreError`, the next one works. What was told before may then be told again. One that is deleted
    while it is in use is made again from what this process still holds.
    """

    def __init__(self, path: Path, routes: Sequence[Route] = ()) -> None:
        self._path = path
        self._routes = tuple(routes)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._file: _File | None = None

    def record(self, filings: Sequence[Filing], now: float) -> list[Recorded]:
        """See `Store.record`; the whole call is one transaction."""
        results: dict[int, Recorded] = {}
        with self._transaction() as db:
            for positions in split_events(filings):
                event = [filings[position] for position in positions]
                results.update(zip(positions, self._record_event(db, event, now), strict=True))
        return [results[position] for position in range(len(filings))]

    def close_due(self, now: float) -> float | None:
        """See `Store.close_due`; periods are closed 500 to a transaction, and no message is made before the last."""
        while self._due(now, "SELECT min(closes_at) FROM period"):
            with self._transaction() as db:
                self._close_page(db, now)
        if self._due(now, "SELECT min(due_at) FROM slot"):
            with self._transaction() as db:
                self._empty_slots(db, now)
        with self._reading() as db:
            (moment,) = db.execute(
                "SELECT min(at) FROM (SELECT min(closes_at) AS at FROM period UNION ALL SELECT min(due_at) FROM slot)"
            ).fetchone()
        return None if moment is None else float(moment)

    def unsent(self, sink: str, now: float, *, limit: int = 10, age_seconds: float = 0.0) -> list[Unsent]:
        """See `Store.unsent`."""
        oldest_wanted = now - age_seconds if age_seconds else float("inf")
        with self._reading() as db:
            rows = db.execute(
                "SELECT message.body, attempts FROM delivery JOIN message ON message.seq = delivery.message"
                " WHERE sink = ? AND not_before <= ? AND delivery.created_at <= ?"
                " ORDER BY urgency, delivery.message LIMIT ?",
                (sink, now, oldest_wanted, limit),
            ).fetchall()
            return [Unsent(_message(db, body), attempts) for body, attempts in rows]

    def mark_sent(self, message_id: str, sink: str) -> None:
        """See `Store.mark_sent`; a message that every sink has taken is forgotten."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM delivery WHERE sink = ? AND message = (SELECT seq FROM message WHERE id = ?)",
                (sink, message_id),
            )
            db.execute(
                "DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = seq)",
                (message_id,),
            )

    def put_off(self, message_id: str, sink: str, until: float) -> None:
        """See `Store.put_off`; a process that starts anew tries everything at once."""
        with self._transaction() as db:
            db.execute(
                "UPDATE delivery SET attempts = attempts + 1, not_before = ?"
                " WHERE sink = ? AND message = (SELECT seq FROM message WHERE id = ?)",
                (until, sink, message_id),
            )

    def purge(self, now: float) -> int:
        """See `Store.purge`; beyond a million alerts the oldest go before their time."""
        before = now - REMEMBERED_SECONDS
        with self._transaction() as db:
            gone = db.execute("DELETE FROM alert WHERE seq IN (SELECT seq FROM alert WHERE stored_at < ? LIMIT ?)",
                              (before, _PAGE)).rowcount  # fmt: skip
            gone += db.execute("DELETE FROM alert WHERE seq IN (SELECT seq FROM alert WHERE seq <="
                               " (SELECT max(seq) FROM alert) - ? ORDER BY seq LIMIT ?)",
                               (MAX_ALERTS, _PAGE)).rowcount  # fmt: skip
            old = db.execute("SELECT seq FROM message WHERE created_at < ? LIMIT ?", (before, _PAGE)).fetchall()
            db.executemany("DELETE FROM delivery WHERE message = ?", old)
            db.executemany("DELETE FROM message WHERE seq = ?", old)
        return gone

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _record_event(self, db: sqlite3.Connection, event: Sequence[Filing], now: float) -> list[Recorded]:
        known = {index: _complete(db, filing.alert) for index, filing in enumerate(event) if not _add(db, filing, now)}
        fresh = [filing for index, filing in enumerate(event) if index not in known]
        counted = [filing for filing in fresh if filing.told]
        books = Books(
            _periods(db, {filing.group for filing in counted}), _slots(db, {filing.alert.rule for filing in counted})
        )
        filed = iter(file_event(fresh, books, now))
        _write(db, books)
        self._publish(db, books.drafts)
        return [known[index] if index in known else next(filed) for index in range(len(event))]

    def _close_page(self, db: sqlite3.Connection, now: float) -> None:
        rows = db.execute("SELECT body FROM period WHERE closes_at <= ? LIMIT ?", (now, _PAGE)).fetchall()
        periods = [msgspec.json.decode(body, type=Period) for (body,) in rows]
        books = Books(slots=_slots(db, {period.rule for period in periods}))
        for period in periods:
            close_period(period, books)
        db.executemany('DELETE FROM period WHERE "group" = ?', [(period.group,) for period in periods])
        _write(db, books)

    def _empty_slots(self, db: sqlite3.Connection, now: float) -> None:
        books = Books()
        for (body,) in db.execute("SELECT body FROM slot WHERE due_at <= ?", (now,)).fetchall():
            empty_slot(msgspec.json.decode(body, type=RuleSlot), books, now)
        _write(db, books)
        self._publish(db, books.drafts)

    def _publish(self, db: sqlite3.Connection, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            sinks = [route.sink for route in self._routes if route.wants(draft.disposition, draft.head.level)]
            if not sinks:
                continue
            seq = _insert(db, _with_own_id(db, draft))
            db.executemany(
                "INSERT INTO delivery (message, sink, urgency, created_at) VALUES (?, ?, ?, ?)",
                [(seq, sink, urgency(draft), draft.created_at) for sink in sinks],
            )

    def _due(self, now: float, query: str) -> bool:
        with self._reading() as db:
            (moment,) = db.execute(query).fetchone()
        return moment is not None and moment <= now

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connected()
            except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
                raise StoreError(self._recover(error)) from error
            except BaseException:
                self._disconnect()
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _make_private(self._path)
            self._connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
            _prepare(self._connection, self._path)
        elif (file := self._file_here()) != self._file:
            if file is None:
                self._make_again(self._connection)
            self._disconnect()
            what = "another file stands in its place and is used" if file else "is made again with all that was in it"
            raise StoreError(f"{self._path}: was deleted while it was in use; {what}")
        return self._connection

    def _file_here(self) -> _File | None:
        """Which file is at the path now, if any; where that cannot be seen, ours is taken to be there."""
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._file
        return found.st_dev, found.st_ino

    def _make_again(self, connection: sqlite3.Connection) -> None:
        """A deleted database lives on in this connection, and would be gone with it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        _make_private(new)
        connection.execute("VACUUM INTO ?", (str(new),))
        new.replace(self._path)

    def _recover(self, error: Exception) -> str:
        """Drop the connection, and with it the transaction; say what happened."""
        text = f"{self._path}: {error}"
        broken = isinstance(error, msgspec.DecodeError) or getattr(error, "sqlite_errorname", "").startswith(_CORRUPT)
        if not broken and self._connection is not None and self._file_here() is None:
            self._connection.rollback()  # but not dropped: nothing else has what is in it
            return text
        self._disconnect()
        if not broken:
            return text
        try:
            return f"{text}; set aside as {self._set_aside()}, a new one is begun"
        except OSError as refusal:
            return f"{text}; it cannot be set aside: {refusal.strerror}"

    def _set_aside(self) -> Path:
        names = [self._path.with_name(f"{self._path.name}.corrupt-{number}") for number in range(1, 10)]
        aside = next((name for name in names if not name.exists()), names[-1])
        for suffix in ("-wal", "-shm", ""):
            old = self._path.with_name(self._path.name + suffix)
            if old.exists():
                old.replace(aside.with_name(aside.name + suffix))
        return aside

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _make_private(path: Path) -> _File:
    """SQLite gives its `-wal` and `-shm` files the permissions of the database; which file it is."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA journal_size_limit = 67108864")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path}: written by a newer version (schema {version}, this one knows {SCHEMA_VERSION})")
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    db.execute("UPDATE delivery SET not_before = 0 WHERE not_before > 0")


def _with_own_id(db: sqlite3.Connection, draft: Draft) -> Draft:
    """An alert forgotten early, for there were too many, may come again while its first message still waits."""
    if db.execute("SELECT 1 FROM message WHERE id = ?", (draft.id,)).fetchone() is None:
        return draft
    return replace(draft, id=f"{draft.id}-{uuid.uuid4().hex}")


def _insert(db: sqlite3.Connection, draft: Draft) -> int | None:
    insert = "INSERT INTO message (id, created_at, body) VALUES (?, ?, ?)"
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


def _message(db: sqlite3.Connection, body: bytes) -> Notification:
    return assemble(msgspec.json.decode(body, type=Draft), lambda alert_id: _alert(db, alert_id))


def _periods(db: sqlite3.Connection, groups: set[str]) -> dict[str, Period]:
    query = 'SELECT body FROM period WHERE "group" = ?'
    return {period.group: period for period in _structs(db, query, groups, Period)}


def _slots(db: sqlite3.Connection, rules: set[str]) -> dict[str, RuleSlot]:
    query = "SELECT body FROM slot WHERE rule = ?"
    return {slot.head.rule: slot for slot in _structs(db, query, rules, RuleSlot)}


def _structs(db: sqlite3.Connection, query: str, keys: set[str], type_: type[_T]) -> Iterator[_T]:
    for key in keys:
        for (body,) in db.execute(query, (key,)):
            yield msgspec.json.decode(body, type=type_)


def _write(db: sqlite3.Connection, books: Books) -> None:
    encode = msgspec.json.encode
    db.executemany(
        "REPLACE INTO period VALUES (?, ?, ?)",
        [(period.group, period.closes_at, encode(period)) for period in books.periods.values()],
    )
    db.executemany(
        "REPLACE INTO slot VALUES (?, ?, ?)",
        [
            (slot.head.rule, slot.next_at if slot.firsts or slot.followed else None, encode(slot))
            for slot in books.slots.values()
        ],
    )
