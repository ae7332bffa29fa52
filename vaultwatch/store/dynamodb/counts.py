"""The Counts contract on AWS: a row with two sets for each window, which DynamoDB deletes once it is expired."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from vaultwatch.seals import Seal
from vaultwatch.store.counts import Shared
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, REACHED, count_key
from vaultwatch.store.dynamodb.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BYTES = 8


class DynamoCounts:
    """`Counts` in the table `table`."""

    def __init__(self, client: DynamoDBClient, table: str, seal: Seal) -> None:
        self._table = Table(client, table, seal)

    def add(self, window: str, hashes: Collection[int], halves: Collection[int], expires_at: float) -> Shared:
        """See `Counts.add`: one write, whose units grow with the size of the row."""
        sets = {
            "hashes": [number.to_bytes(_BYTES) for number in hashes],
            "halves": [number.to_bytes(_BYTES, signed=True) for number in halves],
        }
        found = self._table.unite(count_key(window), sets, {EXPIRES_AT: int(expires_at)}, unless=REACHED)
        if found is None:
            return Shared(reached=True)
        return Shared(
            frozenset(int.from_bytes(one) for one in found["hashes"] if len(one) == _BYTES),
            frozenset(int.from_bytes(one, signed=True) for one in found["halves"]),
        )

    def mark_reached(self, window: str) -> None:
        """See `Counts.mark_reached`."""
        key = count_key(window)
        self._table.change(key, f"SET {REACHED} = :seal", {":seal": self._table.attribute(key, REACHED)})
