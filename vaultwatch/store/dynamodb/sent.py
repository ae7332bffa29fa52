"""The notifications that a sink behind a queue has accepted: rows of their own in the table of the Store.

They have no seal: only the function of the sink may write them, and it could as well delete messages from its queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vaultwatch.seals import UNSEALED
from vaultwatch.store import REMEMBERED_SECONDS
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, sent_key
from vaultwatch.store.dynamodb.table import Row, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SentNotifications:
    """The ids that one sink has accepted, kept for as long as a notification could return. Raises `StoreError`."""

    def __init__(self, client: DynamoDBClient, table: str, sink: str) -> None:
        self._table = Table(client, table, UNSEALED)
        self._sink = sink

    def known(self, notification_ids: Iterable[str]) -> set[str]:
        """Return which of these the sink has accepted."""
        keys = {sent_key(notification_id, self._sink): notification_id for notification_id in notification_ids}
        return {keys[key] for key in self._table.read(keys)}

    def add(self, notification_id: str, now: float) -> None:
        """Note that the sink has accepted a notification."""
        marks = {EXPIRES_AT: int(now + REMEMBERED_SECONDS)}
        self._table.put(Row(sent_key(notification_id, self._sink), b"{}", None, marks))
