"""The Expectations contract on AWS: a row for each rule and group, in a calendar until it is settled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.seals import Seal
from vaultwatch.store import REMEMBERED_SECONDS, StoreError
from vaultwatch.store.dynamodb.calendar import Calendar, with_appointments
from vaultwatch.store.dynamodb.rows import read_body
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, expected_key
from vaultwatch.store.dynamodb.table import Conflict, Item, Table, Wait, replace_row
from vaultwatch.store.expectations import Expected

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CALENDAR = "expected"
_ATTEMPTS = 5
_MOST = 100
"""What is due, of one call: the next one returns the rest."""


class DynamoExpectations:
    """`Expectations` in the table `table`."""

    def __init__(self, client: DynamoDBClient, table: str, seal: Seal) -> None:
        self._table = Table(client, table, seal)

    def expect(self, expected: Sequence[Expected], now: float) -> None:
        """See `Expectations.expect`: a read and a write for each event that is later than what is known."""
        for one in expected:
            self._keep(one, now)

    def due(self, now: float) -> list[Expected]:
        """See `Expectations.due`."""
        found, failure = Calendar(self._table, _CALENDAR).find(now, partial(_read_due, now), _MOST)
        if failure and not found:
            raise failure
        return sorted((one for one, _ in found), key=lambda one: one.due_at)[:_MOST]

    def settle_due(self, expected: Expected, now: float) -> None:
        """See `Expectations.settle_due`."""
        key = expected_key(expected.name)
        row = self._table.read([key]).get(key)
        if row is not None and _read(row) == expected:
            try:
                self._table.write([replace_row(row, key, msgspec.json.encode(expected), _marks(now))])
            except Conflict:
                return  # another event has come, or another process has settled it

    def _keep(self, expected: Expected, now: float) -> None:
        key, body = expected_key(expected.name), msgspec.json.encode(expected)
        for _ in range(_ATTEMPTS):
            row = self._table.read([key]).get(key)
            known = _read(row) if row is not None else None
            if known is not None and not expected.replaces(known):
                return
            kept = replace_row(row, key, body, _marks(now), Wait(_CALENDAR, expected.due_at))
            try:
                self._table.write(with_appointments([kept], now))
            except Conflict:
                continue
            return
        raise StoreError("DynamoDB: concurrent writers keep changing the same row")


def _marks(now: float) -> dict[str, float]:
    return {EXPIRES_AT: int(now + REMEMBERED_SECONDS)}


def _read(item: Item) -> Expected | None:
    return read_body(item, Expected)


def _read_due(now: float, item: Item) -> Expected | None:
    expected = _read(item)
    return expected if expected is not None and expected.due_at <= now else None
