"""The Memory contract on AWS: a row for each name, which DynamoDB deletes once it is expired."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from vaultwatch.seals import Seal
from vaultwatch.store.dynamodb.live import known_live_since
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, seen_key
from vaultwatch.store.dynamodb.table import Row, Table, number

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoMemory:
    """`Memory` in the table `table`."""

    def __init__(self, client: DynamoDBClient, table: str, seal: Seal) -> None:
        self._table = Table(client, table, seal)

    def seen(self, names: Collection[str], now: float) -> dict[str, float]:
        """See `Memory.seen`."""
        rows = self._table.read(map(seen_key, names))
        until = {name: number(rows[key], EXPIRES_AT) for name in names if (key := seen_key(name)) in rows}
        return {name: moment for name, moment in until.items() if moment > now}

    def remember(self, names: Collection[str], until: float) -> None:
        """See `Memory.remember`: one write for each name."""
        for name in names:
            self._table.put(Row(seen_key(name), b"", None, {EXPIRES_AT: int(until)}))

    def rules_live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """See `Memory.rules_live_since`; `digest` and `sweep` record it."""
        return known_live_since(self._table, digests, now)
