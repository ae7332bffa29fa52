"""A table with its stream and a clock that tests move, the store that uses it, and what is judged of its changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from testbed.aws.table_stream import expire_rows
from tests.support.dynamodb import REGION, SEAL, TABLE, all_rows, changes, local_aws, make_client, make_table
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.seals import foreign_rows
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.dynamodb.changes import Judgement, judge, read_change
from vaultwatch.store.dynamodb.counts import DynamoCounts
from vaultwatch.store.dynamodb.expectations import DynamoExpectations
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.dynamodb.restoring import restore
from vaultwatch.store.dynamodb.table import Table

T0 = 1_800_000_000.0
ROUTES = (
    Route("sns", NOTIFIED, Level.INFORMATIONAL),
    Route("history", ALL_DISPOSITIONS - NOTIFIED, Level.INFORMATIONAL, batched=True),
)
Row = dict[str, Any]


@dataclass
class Changing:
    """The table, what our code uses it with, and what somebody else does to it."""

    client: Any
    now: float = T0
    _judged: int = 0

    def __post_init__(self) -> None:
        self.store = DynamoStore(self.client, TABLE, SEAL, ROUTES, sleep=lambda seconds: None)
        self.expectations = DynamoExpectations(self.client, TABLE, SEAL)
        self.memory = DynamoMemory(self.client, TABLE, SEAL)
        self.counts = DynamoCounts(self.client, TABLE, SEAL)
        self._table = Table(self.client, TABLE, SEAL)

    def judged(self) -> list[Judgement]:
        """Return what is judged of the changes since the last call."""
        new = changes()[self._judged :]
        self._judged += len(new)
        return [one for record in new if (one := judge(SEAL, read_change(record)))]

    def witness(self) -> list[Judgement]:
        """Judge the changes since the last call, and restore what was there, as the function witness does."""
        return restore(self._table, SEAL, self.judged(), self.now, lambda: True)

    def expire(self) -> None:
        """Let DynamoDB delete what is expired."""
        expire_rows(REGION, self.now)

    def row(self, kind: str) -> Row:
        """Return the only row of a kind."""
        [row] = [row for row in all_rows() if row["sk"]["S"] == kind]
        return row

    def put(self, row: Row) -> None:
        """Write over a row, as somebody with a credential can."""
        self.client.put_item(TableName=TABLE, Item=row)

    def delete(self, row: Row) -> None:
        """Delete a row, as somebody could who had the permission."""
        self.client.delete_item(TableName=TABLE, Key={name: row[name] for name in ("pk", "sk")})


@contextmanager
def changing() -> Iterator[Changing]:
    """Make a table with its stream."""
    with local_aws():
        made = Changing(make_client("dynamodb"))

        def now() -> float:
            return made.now

        def utcnow() -> datetime:
            return datetime.fromtimestamp(made.now, UTC).replace(tzinfo=None)

        with (
            mock.patch.object(time, "time", now),
            mock.patch("moto.dynamodb.models.table.utcnow", utcnow),
        ):
            make_table(made.client, stream=True)
            yield made
        foreign_rows.taken()
