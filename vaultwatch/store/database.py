"""An SQLite file of one process or several that copes with a full disk, a deleted file and a damaged one.

It uses write-ahead logging and a full sync at each commit: a completed call survives a kill at any instruction and a
power failure. Only its owner can read it, because alerts name people and the paths of secrets.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from vaultwatch.store import StoreError

SCHEMA_VERSION = 3
_BUSY_SECONDS = 30.0  # a flood in one process must not make another one report an error
_BUSY_PAUSE_SECONDS = 0.02
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_File = tuple[int, int]
"""Device and inode."""


class Database:
    """The file `path`. The first call creates it, with its directory and `schema`; `on_open` is run at each opening.

    Any number of threads use it, one at a time. A damaged file is renamed to `<path>.corrupt-<n>` and replaced by a new
    one: the call that finds the damage raises `StoreError`, the next one works. A file that is deleted while it is in
    use is written again from the data that a process still has; the first process to notice does it, and the others
    continue with its file.
    """

    def __init__(self, path: Path, schema: str, on_open: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._schema = schema
        self._on_open = on_open
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._file: _File | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction; raises `StoreError`."""
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
            self._check_file()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection to one thread at a time; raises `StoreError`."""
        with self._lock:
            try:
                yield self._connected()
            except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
                raise StoreError(self._recover(error)) from error
            except BaseException:
                self._disconnect()
                raise

    def close(self) -> None:
        """Close the file; any later use raises `StoreError`."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _make_private(self._path)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._connection)
        elif (file := self._file_here()) != self._file:
            if file is None:
                self._make_again(self._connection)
            self._disconnect()
            what = "another file has replaced it and is used" if file else "it is written again with all its data"
            raise StoreError(f"{self._path}: was deleted while it was in use; {what}")
        return self._connection

    def _prepare(self, db: sqlite3.Connection) -> None:
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 67108864")
        db.execute("BEGIN IMMEDIATE")  # otherwise another process could create the tables at the same time
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            found = f"schema {version}, this one knows {SCHEMA_VERSION}"
            raise StoreError(f"{self._path}: written by another version ({found})")
        if version == 0:
            for statement in self._schema.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._on_open(db)
        db.execute("COMMIT")

    def _check_file(self) -> None:
        """Refuse a commit into a file that is no longer at the path: another process may have copied it before."""
        file = self._file_here()
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "was deleted at this moment")
        if file != self._file:
            raise StoreError(f"{self._path}: was replaced at this moment; the other file is used")

    def _file_here(self) -> _File | None:
        """Return which file is at the path now, None if there is none; if this is not known, assume the open one."""
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._file
        return found.st_dev, found.st_ino

    def _make_again(self, connection: sqlite3.Connection) -> None:
        """Write a deleted database again from this connection, which still has its data."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.new-{os.getpid()}")
        new.unlink(missing_ok=True)
        _make_private(new)
        connection.execute("VACUUM INTO ?", (str(new),))
        with suppress(FileExistsError):  # another process was faster
            os.link(new, self._path)
        new.unlink()

    def _recover(self, error: Exception) -> str:
        """Drop the connection, and with it the transaction, and return what happened."""
        text = f"{self._path}: {error}"
        broken = isinstance(error, msgspec.DecodeError) or getattr(error, "sqlite_errorname", "").startswith(_CORRUPT)
        if not broken and self._connection is not None and self._file_here() is None:
            self._connection.rollback()  # but is not dropped: only this connection has its data
            return text
        is_ours = self._file_here() == self._file  # another process may have renamed it already
        self._disconnect()
        if not broken or not is_ours:
            return text
        try:
            return f"{text}; renamed to {self._rename_damaged()} and replaced by a new one"
        except OSError as refusal:
            return f"{text}; it cannot be renamed: {refusal.strerror}"

    def _rename_damaged(self) -> Path:
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


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Change the journal of a new file; SQLite itself does not wait for another process that does so just now."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
        time.sleep(_BUSY_PAUSE_SECONDS)


def _make_private(path: Path) -> _File:
    """Create a file for its owner only (SQLite gives its other files the same mode), and return which file it is."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino
