"""Calendars: which rows wait, and until when, so that no index has to list rows to whoever may query it.

A row that waits is written together with an *appointment*, a row of the calendar that names it, unless an earlier one
does so already. Appointments are in a partition for each week, in the order of their times. Like all rows they have
names that nobody can know without the key: with the credential of a function alone, nobody finds one.

Whoever keeps a calendar looks at each appointment when its time has come. If the rows it names wait no longer, it is
settled; if they wait until later, another one replaces it. A *cursor* says up to when nothing is left. It is always
`LATE_SECONDS` behind, because an appointment is stored a little after the time that its writer has read. Once a day
what is before the cursor is looked at, too: a clock may have been wrong.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import msgspec

from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.rows import read_body
from vaultwatch.store.dynamodb.schema import DUE_AT, EXPIRES_AT, WEEK_SECONDS, Key, calendar_key, cursor_key
from vaultwatch.store.dynamodb.table import (
    MAX_ACTIONS,
    Conflict,
    Item,
    Row,
    Table,
    Wait,
    number,
    replace_row,
    settled_row,
)

LATE_SECONDS = 1800.0
"""Longer than a function runs, and waits for others, after it has read the time."""
UNKNOWN_SECONDS = WEEK_SECONDS
"""How far back whoever keeps a calendar looks for the first time, and once a day."""
KEPT_SECONDS = 90 * 86400.0
"""How long after its time an appointment expires, if nobody has kept the calendar."""
_DAY = 86400.0
_OVERDUE_SECONDS = 300.0
_MOVED_SECONDS = 300.0
_PAGE = 40
_END = "~"  # behind every digit
_T = TypeVar("_T")


class Appointment(msgspec.Struct, frozen=True):
    """A row of a calendar, its key, its time, and the keys of the rows that it names."""

    key: Key
    item: Item
    at: float
    named: tuple[Key, ...]


def with_appointments(rows: Sequence[Row], now: float) -> list[Row]:
    """Return rows to write in one transaction, and an appointment for each calendar in which some of them wait."""
    waiting: dict[str, list[tuple[float, Key]]] = {}
    for row in rows:
        if row.waits and not _is_known(row, row.waits, now):
            waiting.setdefault(row.waits.calendar, []).append((row.waits.until, row.key))
    return [*rows, *(_appointment(name, some, now) for name, some in waiting.items())]


def _is_known(row: Row, waits: Wait, now: float) -> bool:
    """Return whether the row was in the calendar before, and will be found there in time.

    One that is overdue has lost its appointment, or nobody keeps the calendar: it gets another one.
    """
    until = row.waited_until
    return until is not None and now - _OVERDUE_SECONDS < until <= waits.until


def _appointment(calendar: str, waiting: Sequence[tuple[float, Key]], now: float) -> Row:
    """Return the appointment of the first moment; what waits longer gets another one then."""
    at = max(now, min(moment for moment, _ in waiting))
    key = (calendar_key(calendar, at), f"{_sortable(at)}#{secrets.token_hex(8)}")
    return Row(key, msgspec.json.encode([key for _, key in waiting]), None, {EXPIRES_AT: int(at + KEPT_SECONDS)})


def _sortable(at: float) -> str:
    return f"{max(0, int(at * 1000)):015d}"


class Found(NamedTuple, Generic[_T]):
    """What is due, with its rows; and why appointments could not be settled, which must not keep it back."""

    due: list[tuple[_T, Item]]
    failure: StoreError | None


class Calendar:
    """One look at a calendar. Any number of processes may keep it at the same time.

    Args:
        table: The table.
        name: The name of the calendar.
        longest_seconds: How long rows wait in it. One that waits longer is due, whoever wrote that.
    """

    def __init__(self, table: Table, name: str, longest_seconds: float = math.inf) -> None:
        self._table = table
        self._name = name
        self._longest_seconds = longest_seconds
        self._is_left = False
        self._closed_to: float | None = None

    def due(self, now: float) -> Iterator[list[Appointment]]:
        """Yield pages of the appointments that are due and not settled, in the order of their times."""
        cursor, late = self._cursor(), now - LATE_SECONDS
        since = late if cursor is None else min(cursor, late)
        if cursor is None or cursor // _DAY != late // _DAY:
            since = min(since, now - UNKNOWN_SECONDS)
        yield from self._between(since, now)

    def next_at(self, now: float, ahead_seconds: float) -> float | None:
        """Return when the next row that waits is due after `now`; None if none does within this time."""
        for page in self._between(now, now + ahead_seconds):
            rows = self.read(page)
            moments = [at for one in page for at in self._waiting(one, rows, now).values()]
            if later := [at for at in moments if at > now]:
                return min(later)
        return None

    def find(self, now: float, decode: Callable[[Item], _T | None], most: int) -> Found[_T]:
        """Read what is due, and settle the appointments of what is not.

        Args:
            now: The present time.
            decode: Returns what a row that is due contains; None for one to leave out.
            most: After so many it ends: the next look finds the rest.
        """
        found, is_whole = dict[Key, tuple[_T, Item]](), True
        failure: StoreError | None = None
        for page in self.due(now):
            rows = self.read(page)
            for key, row in rows.items():
                at = self.due_at(row, now)
                if at is not None and at <= now and (content := decode(row)) is not None:
                    found[key] = (content, row)
            failure = failure_of(partial(self.close, page, rows, now)) or failure
            if len(found) >= most:
                is_whole = False
                break
        failure = failure or failure_of(partial(self.move_on, now, is_whole=is_whole))
        return Found(list(found.values()), failure)

    def read(self, page: Sequence[Appointment]) -> dict[Key, Item]:
        """Return the rows that the appointments of a page name, without those that are missing."""
        return self._table.read(key for one in page for key in one.named)

    def close(self, page: Sequence[Appointment], rows: Mapping[Key, Item], now: float) -> None:
        """Settle the appointments of a page, as far as what they name waits no longer, or until later.

        One of which something is still due stays, to be looked at again.

        Args:
            page: Appointments.
            rows: The rows that they name, as they are now.
            now: The present time.
        """
        try:
            self._close(page, rows, now)
        except Conflict:  # with another keeper or writer, or DynamoDB throttles: it is found again
            self._is_left = True
        self._closed_to = page[-1].at

    def _close(self, page: Sequence[Appointment], rows: Mapping[Key, Item], now: float) -> None:
        done = [one for one in page if not self._is_due(one, rows, now)]
        quiet = dict.fromkeys(key for one in done for key in one.named if self.due_at(rows.get(key, {}), now) is None)
        rows = {**rows, **self._table.read_settled(quiet)}  # one may be of the transaction that made the appointment
        later = dict[Key, float]()
        settled = list[Row]()
        for one in done:
            if not self._is_due(one, rows, now):
                later |= self._waiting(one, rows, now)
                settled.append(settled_row(one.key, one.item))
        again = [(at, key) for key, at in later.items()]
        parts = [again[first : first + MAX_ACTIONS] for first in range(0, len(again), MAX_ACTIONS)]
        self._table.write([*(_appointment(self._name, part, now) for part in parts), *settled])

    def _is_due(self, one: Appointment, rows: Mapping[Key, Item], now: float) -> bool:
        """Return whether a row that an appointment names is due; once it is late, another appointment names that."""
        is_late = one.at <= now - LATE_SECONDS
        return not is_late and any(at <= now for at in self._waiting(one, rows, now).values())

    def move_on(self, now: float, *, is_whole: bool = True) -> None:
        """Note that nothing is left of the appointments that are late, as far as pages are closed.

        If that has failed for one of them, nothing is noted.

        Args:
            now: The present time.
            is_whole: Whether all pages are closed.
        """
        closed_to = now if is_whole else self._closed_to
        if self._is_left or closed_to is None:
            return
        key, at = cursor_key(self._name), min(now - LATE_SECONDS, closed_to)
        row = self._table.read([key]).get(key)
        known = read_body(row, float) if row else None
        if known is not None and abs(at - known) < _MOVED_SECONDS:
            return
        try:
            self._table.write([replace_row(row, key, msgspec.json.encode(at), {})])
        except Conflict:
            return  # so has another process

    def due_at(self, row: Item, now: float) -> float | None:
        """Return until when a row waits; None if it does not.

        Args:
            row: The row, as it was read.
            now: The present time.
        """
        if DUE_AT not in row:
            return None
        at = number(row, DUE_AT)
        return at if at <= now + self._longest_seconds else now

    def _waiting(self, one: Appointment, rows: Mapping[Key, Item], now: float) -> dict[Key, float]:
        """Return until when what an appointment names waits, without what does so no longer."""
        found = [(key, self.due_at(rows.get(key, {}), now)) for key in one.named]
        return {key: at for key, at in found if at is not None}

    def _cursor(self) -> float | None:
        key = cursor_key(self._name)
        row = self._table.read([key]).get(key)
        return read_body(row, float) if row else None

    def _between(self, since: float, until: float) -> Iterator[list[Appointment]]:
        first, last = _sortable(since), _sortable(until) + _END
        for week in range(max(0, int(since // WEEK_SECONDS)), int(until // WEEK_SECONDS) + 1):
            for page in self._table.find(calendar_key(self._name, week * WEEK_SECONDS), first, last):
                found = [one for key, item in page if (one := _read(key, item))]
                yield from (found[at : at + _PAGE] for at in range(0, len(found), _PAGE))


def _read(key: Key, item: Item) -> Appointment | None:
    named = read_body(item, tuple[Key, ...])
    return Appointment(key, item, int(key[1].partition("#")[0]) / 1000, named) if named else None


def failure_of(step: Callable[[], object]) -> StoreError | None:
    """Take a step, and return why the table could not do it."""
    try:
        step()
    except StoreError as error:
        return error
    return None
