"""Read the table of the local AWS: alerts as soon as they are stored, and deliveries at the end."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from demo.alert_tail import Seen
from vaultwatch.alerts import Alert
from vaultwatch.store.dynamodb.schema import ALERT_ROWS, sent_rows
from vaultwatch.store.encoding import decode_alert

if TYPE_CHECKING:
    from testbed.aws import LocalAws
    from testbed.aws.calls import Request

_SENT_TO_SLACK = sent_rows("slack")


class StoredTail:
    """Watches every successful transaction, and notes when each alert was first stored.

    Args:
        aws: The local AWS.
    """

    def __init__(self, aws: LocalAws) -> None:
        self._new: SimpleQueue[Seen] = SimpleQueue()
        self.seen: dict[str, Seen] = {}
        self._before = aws.endpoint.on_write
        aws.endpoint.on_write = self._on_write

    def poll(self) -> list[Alert]:
        """Return the alerts that are new since the last call."""
        new = [seen for seen in self._drain() if self.seen.setdefault(seen.alert.id, seen) is seen]
        return [seen.alert for seen in new]

    def _on_write(self, request: Request) -> None:
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


def alerts_and_deliveries(table_rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Alert], set[str]]:
    """Find alerts and deliveries among the rows of the table.

    Args:
        table_rows: The rows.

    Returns:
        The alerts by id, and the ids of the notifications that Slack has accepted.
    """
    alerts: dict[str, Alert] = {}
    delivered: set[str] = set()
    for row in table_rows:
        key = row["pk"]["S"]
        if key.startswith(ALERT_ROWS):
            alert = decode_alert(row["body"]["B"])
            alerts[alert.id] = alert
        elif key.startswith(_SENT_TO_SLACK):
            delivered.add(key.removeprefix(_SENT_TO_SLACK))
    return alerts, delivered
