"""Which notifications a sink behind a queue has accepted: rows beside those of the Store, in the same table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vaultwatch.store import REMEMBERED_SECONDS
from vaultwatch.store.dynamodb.table import Row, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SentNotifications:
    """The ids of one sink's notifications, kept for as long as one could come again; methods raise `StoreError`."""

    def __init__(self, client: DynamoDBClient, table: str, sink: str) -> None:
        self._table = Table(client, table)
        self._kind = f"sent#{sink}"

    def known(self, notification_ids: Iterable[str]) -> set[str]:
        """Return which of these the sink has accepted."""
        rows = self._table.read((f"message#{id_}", self._kind) for id_ in notification_ids)
        return {pk.removeprefix("message#") for pk, _ in rows}

    def add(self, notification_id: str, now: float) -> None:
        """Store that the sink has accepted it."""
        marks = {"expires_at": int(now + REMEMBERED_SECONDS)}
        self._table.put(Row((f"message#{notification_id}", self._kind), b"{}", None, marks))
