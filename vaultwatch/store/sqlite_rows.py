"""The state of dispatch, as rows in SQLite.

Limits and sightings are shared by all handlers; windows and what rules hold belong to one `owner`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from vaultwatch.dispatch.decisions import State
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import Limit
from vaultwatch.dispatch.notification import Filing
from vaultwatch.dispatch.same_fact import Sightings, family_of

SCHEMA = """
CREATE TABLE window (owner TEXT NOT NULL, key TEXT NOT NULL, due_at REAL NOT NULL, body BLOB NOT NULL,
                     PRIMARY KEY (owner, key)) WITHOUT ROWID;
CREATE INDEX window_by_end ON window (owner, due_at);
CREATE TABLE held (owner TEXT NOT NULL, key TEXT NOT NULL, due_at REAL, body BLOB NOT NULL,
                   PRIMARY KEY (owner, key)) WITHOUT ROWID;
CREATE TABLE sightings (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rate_limit (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_T = TypeVar("_T", bound=msgspec.Struct)


class Rows:
    """The rows of one owner and the shared rows, within a transaction or while reading."""

    def __init__(self, db: sqlite3.Connection, owner: str) -> None:
        self._db = db
        self._owner = owner

    def state_for(self, filings: Sequence[Filing]) -> State:
        """Return the state of dispatch for these filings."""
        alerts = [filing.alert for filing in filings]
        return self._with_limits(
            State(
                windows=self._owned("window", {filing.group for filing in filings}, Window),
                held=self._owned("held", {alert.rule for alert in alerts}, Held),
                sightings=self._shared("sightings", {family_of(alert) for alert in alerts if alert.same_as}, Sightings),
            )
        )

    def ended_windows(self, now: float, limit: int) -> tuple[list[Window], State]:
        """Return at most `limit` windows that have ended, and the state with which dispatch closes them."""
        find = "SELECT body FROM window WHERE owner = ? AND due_at <= ? LIMIT ?"
        windows = list(_decoded(self._db.execute(find, (self._owner, now, limit)), Window))
        return windows, State(held=self._owned("held", {window.head.rule for window in windows}, Held))

    def delete_windows(self, windows: Iterable[Window]) -> None:
        """Delete windows that were closed."""
        delete = "DELETE FROM window WHERE owner = ? AND key = ?"
        self._db.executemany(delete, [(self._owner, window.group) for window in windows])

    def due_held(self, now: float) -> tuple[list[Held], State]:
        """Return the held alerts that are due, and the state with which dispatch flushes them."""
        find = "SELECT body FROM held WHERE owner = ? AND due_at <= ?"
        return list(_decoded(self._db.execute(find, (self._owner, now)), Held)), self._with_limits(State())

    def next_due(self, *tables: str) -> float | None:
        """Return when the first row of these tables is due."""
        find = "SELECT min(due_at) FROM {} WHERE owner = ?"
        moments = [self._db.execute(find.format(table), (self._owner,)).fetchone()[0] for table in tables]
        return min((float(moment) for moment in moments if moment is not None), default=None)

    def write(self, state: State) -> None:
        """Write the rows of a state back."""
        self._put_owned("window", ((key, window.closes_at, window) for key, window in state.windows.items()))
        self._put_owned("held", ((key, held.due_at, held) for key, held in state.held.items()))
        self._put_shared("sightings", state.sightings)
        limits = {"ordinary": state.ordinary, "urgent": state.urgent}
        self._put_shared("rate_limit", {key: limit for key, limit in limits.items() if limit.moments})

    def _with_limits(self, state: State) -> State:
        limits = self._shared("rate_limit", {"ordinary", "urgent"}, Limit)
        state.ordinary, state.urgent = limits.get("ordinary", Limit()), limits.get("urgent", Limit())
        return state

    def _owned(self, table: str, keys: Iterable[str], type_: type[_T]) -> dict[str, _T]:
        find = f"SELECT body FROM {table} WHERE key = ? AND owner = ?"  # noqa: S608 - one of ours
        return {key: row for key in keys for row in _decoded(self._db.execute(find, (key, self._owner)), type_)}

    def _shared(self, table: str, keys: Iterable[str], type_: type[_T]) -> dict[str, _T]:
        find = f"SELECT body FROM {table} WHERE key = ?"  # noqa: S608 - one of ours
        return {key: row for key in keys for row in _decoded(self._db.execute(find, (key,)), type_)}

    def _put_owned(self, table: str, rows: Iterable[tuple[str, float | None, msgspec.Struct]]) -> None:
        self._db.executemany(
            f"REPLACE INTO {table} VALUES (?, ?, ?, ?)",  # noqa: S608 - one of ours
            [(self._owner, key, due_at, msgspec.json.encode(row)) for key, due_at, row in rows],
        )

    def _put_shared(self, table: str, rows: Mapping[str, msgspec.Struct]) -> None:
        replace = f"REPLACE INTO {table} VALUES (?, ?)"  # noqa: S608 - one of ours
        self._db.executemany(replace, [(key, msgspec.json.encode(row)) for key, row in rows.items()])


def _decoded(rows: Iterable[tuple[bytes]], type_: type[_T]) -> Iterator[_T]:
    return (msgspec.json.decode(body, type=type_) for (body,) in rows)
