"""The `Threads` contract on one machine: a small SQLite database of its own.

It is separate from the alerts because it is dispensable: without it, a group's next notification is a new message. So a
database that cannot be read is deleted.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from vaultwatch.store import StoreError
from vaultwatch.store.threads import Thread

MAX_THREADS = 10_000
_UNREADABLE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class SqliteThreads:
    """`Threads` in the file `path`, for its owner only. Beyond 10,000 groups, the first to expire are deleted."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, max_threads: int = MAX_THREADS) -> None:
        """Use `path`, which the first call creates; its directory has to exist."""
        self._path = path
        self._clock = clock
        self._max_threads = max_threads

    def get(self, group: str) -> Thread | None:
        """See `Threads.get`."""
        with self._open() as db:
            return _read(db, group)

    def put(self, group: str, thread: Thread, replacing: Thread | None) -> bool:
        """See `Threads.put`."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            if _read(db, group) != replacing:
                return False
            db.execute("REPLACE INTO thread VALUES (?, ?, ?)", (group, thread.expires_at, msgspec.json.encode(thread)))
            db.execute("DELETE FROM thread WHERE expires_at < ?", (self._clock(),))
            db.execute(
                'DELETE FROM thread WHERE "group" IN'
                ' (SELECT "group" FROM thread ORDER BY expires_at DESC LIMIT -1 OFFSET ?)',
                (self._max_threads,),
            )
            db.execute("COMMIT")
        return True

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(self._path, timeout=5.0, isolation_level=None)) as db:
                db.execute(
                    'CREATE TABLE IF NOT EXISTS thread ("group" TEXT PRIMARY KEY, expires_at REAL NOT NULL,'
                    " body BLOB NOT NULL) WITHOUT ROWID"
                )
                yield db
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise StoreError(f"{self._path}: {error}{self._replace(error)}") from error

    def _replace(self, error: Exception) -> str:
        name = getattr(error, "sqlite_errorname", "")
        if not (isinstance(error, msgspec.DecodeError) or name.startswith(_UNREADABLE)):
            return ""
        for suffix in ("", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return "; it is deleted, and the next notification of each alert group is a new message"


def _read(db: sqlite3.Connection, group: str) -> Thread | None:
    row = db.execute('SELECT body FROM thread WHERE "group" = ?', (group,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Thread)
