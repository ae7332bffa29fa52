"""Alerts as they are stored in the table of the local AWS, and what else is in it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from demo.alert_tail import Seen
from vaultwatch.alerts import Alert
from vaultwatch.encoding import decode_alert

if TYPE_CHECKING:
    from testbed.aws import LocalAws
    from testbed.aws.calls import Request


class StoredTail:
    """Hears of every transaction that succeeded, and notes when an alert was stored for the first time."""

    def __init__(self, aws: LocalAws) -> None:
        self._new: SimpleQueue[Seen] = SimpleQueue()
        self.seen: dict[str, Seen] = {}
        self._before = aws.endpoint.on_write
        aws.endpoint.on_write = self._hear

    def poll(self) -> list[Alert]:
        """The alerts that are new since the last call."""
        new = [seen for seen in self._drain() if self.seen.setdefault(seen.alert.id, seen) is seen]
        return [seen.alert for seen in new]

    def _hear(self, request: Request) -> None:
        self._before(request)
        if request.operation == "TransactWriteItems":
            now = time.time()
            for action in request.arguments["TransactItems"]:
                row = action.get("Put", {}).get("Item")
                if row and row["sk"]["S"] == "alert":
                    self._new.put(Seen(decode_alert(base64.b64decode(row["body"]["B"])), now))

    def _drain(self) -> Iterator[Seen]:
        while True:
            try:
                yield self._new.get_nowait()
            except Empty:
                return


def read_rows(dynamodb: Any, table: str) -> Iterator[Mapping[str, Any]]:
    """Every row of the table."""
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        yield from page["Items"]


def alerts_and_receipts(table_rows: Iterator[Mapping[str, Any]]) -> tuple[dict[str, Alert], set[str]]:
    """The alerts among the rows, by id; and the ids of the messages that Slack has had."""
    alerts: dict[str, Alert] = {}
    receipts: set[str] = set()
    for row in table_rows:
        kind, name = row["sk"]["S"], row["pk"]["S"].partition("#")[2]
        if kind == "alert":
            alerts[name] = decode_alert(row["body"]["B"])
        elif kind == "receipt#slack":
            receipts.add(name)
    return alerts, receipts
