"""What a sink behind a queue has had: rows beside the Store's, in the same table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vaultwatch.store import REMEMBERED_SECONDS
from vaultwatch.store.dynamodb.table import Row, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Receipts:
    """By message id, for one sink, for as long as a message could come again. Raises `StoreError`."""

    def __init__(self, client: DynamoDBClient, table: str, sink: str) -> None:
        self._table = Table(client, table)
        self._kind = f"receipt#{sink}"

    def known(self, message_ids: Iterable[str]) -> set[str]:
        """Which of these the sink has had."""
        rows = self._table.read((f"message#{message_id}", self._kind) for message_id in message_ids)
        return {pk.removeprefix("message#") for pk, _ in rows}

    def give(self, message_id: str, now: float) -> None:
        """The sink has had it."""
        marks = {"expires_at": int(now + REMEMBERED_SECONDS)}
        self._table.put(Row((f"message#{message_id}", self._kind), b"{}", None, marks))
