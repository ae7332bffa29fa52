"""The `Threads` contract on AWS: rows of their own in the table of the Store, which DynamoDB deletes once expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vaultwatch.seals import UNSEALED
from vaultwatch.store.dynamodb.rows import read_body
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, thread_key
from vaultwatch.store.dynamodb.table import Conflict, Table, replace_row
from vaultwatch.store.threads import Thread

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoThreads:
    """`Threads` of one sink in the table `table`."""

    def __init__(self, client: DynamoDBClient, table: str, sink: str) -> None:
        self._table = Table(client, table, UNSEALED)
        self._sink = sink

    def get(self, group: str) -> Thread | None:
        """See `Threads.get`."""
        key = thread_key(group, self._sink)
        found = self._table.read([key]).get(key)
        return None if found is None else read_body(found, Thread)

    def put(self, group: str, thread: Thread, replacing: Thread | None) -> bool:
        """See `Threads.put`; rows are compared decoded, so that a version with other fields can replace them."""
        key = thread_key(group, self._sink)
        found = self._table.read([key]).get(key)
        if (None if found is None else read_body(found, Thread)) != replacing:
            return False
        row = replace_row(found, key, msgspec.json.encode(thread), {EXPIRES_AT: int(thread.expires_at)})
        try:
            self._table.write([row])
        except Conflict:
            return False
        return True
