"""The Expectations contract on AWS: a row for each rule and group, in the index of what is due until it is settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.seals import Seal
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.rows import read_body
from vaultwatch.store.dynamodb.schema import DUE, EXPECTED_ROWS, EXPIRES_AT, expected_key
from vaultwatch.store.dynamodb.table import Conflict, Item, Table, number, replace_row
from vaultwatch.store.expectations import Expected

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KIND = "expected"
_DUE = "due_kind = :kind AND due_at <= :now"
_ATTEMPTS = 5
_MOST = 100
"""What is due, of one call: the next one returns the rest."""


class DynamoExpectations:
    """`Expectations` in the table `table`."""

    def __init__(self, client: DynamoDBClient, table: str, seal: Seal) -> None:
        self._table = Table(client, table, seal)

    def expect(self, expected: Sequence[Expected], forget_at: float) -> None:
        """See `Expectations.expect`: a read and a write for each event that is later than what is known."""
        for one in expected:
            self._keep(one, forget_at)

    def due(self, now: float) -> list[Expected]:
        """See `Expectations.due`."""
        found = list[Expected]()
        for page in self._table.find(DUE.name, EXPECTED_ROWS, _DUE, {":kind": _KIND, ":now": now}):
            rows = self._table.read_found(page)
            self._table.settle_foreign(rows)
            due = (item for item in rows if DUE.partition_key in item and number(item, DUE.sort_key) <= now)
            found += [one for item in due if (one := _read(item))]
            if len(found) >= _MOST:
                break
        return found

    def settle_due(self, expected: Expected, forget_at: float) -> None:
        """See `Expectations.settle_due`."""
        key = expected_key(expected.name)
        row = self._table.read([key]).get(key)
        if row is not None and _read(row) == expected:
            try:
                self._table.write([replace_row(row, key, msgspec.json.encode(expected), {EXPIRES_AT: int(forget_at)})])
            except Conflict:
                return  # another event has come, or another process has settled it

    def _keep(self, expected: Expected, forget_at: float) -> None:
        key = expected_key(expected.name)
        marks: dict[str, str | float | int] = {
            EXPIRES_AT: int(forget_at),
            DUE.partition_key: _KIND,
            DUE.sort_key: expected.due_at,
        }
        for _ in range(_ATTEMPTS):
            row = self._table.read([key]).get(key)
            known = _read(row) if row is not None else None
            if known is not None and not expected.replaces(known):
                return
            try:
                self._table.write([replace_row(row, key, msgspec.json.encode(expected), marks)])
            except Conflict:
                continue
            return
        raise StoreError("DynamoDB: concurrent writers keep changing the same row")


def _read(item: Item) -> Expected | None:
    return read_body(item, Expected)
