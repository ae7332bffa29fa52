"""Alerts into the store, and from there to the topic: the same for evaluate, sweep and digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from vaultwatch.alerts import Alert, Level
from vaultwatch.delivery.topic import Publisher
from vaultwatch.store import ALL_TELLS, Filing, Message, Route
from vaultwatch.store.dynamodb import DynamoStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

SINK = "sns"
ROUTES = (Route(SINK, ALL_TELLS, Level.INFORMATIONAL),)
_SPARE_SECONDS = 20.0


def open_store(client: DynamoDBClient, table: str, memory_days: int) -> DynamoStore:
    """The store, with the topic as its one sink: who hears what is decided by the topic's subscriptions."""
    return DynamoStore(client, table, ROUTES, remembered_seconds=memory_days * 86400.0)


class Teller:
    """Stores alerts and publishes what is new, in one invocation; the store's errors pass through."""

    def __init__(self, store: DynamoStore, client: SNSClient, topic_arn: str, context: Any) -> None:
        self._store = store
        mark = partial(_mark, store)
        self.publisher = Publisher(client, topic_arn, mark, _time_left(context))
        self._new: list[Alert] = []

    def tell(self, filings: Sequence[Filing]) -> None:
        """Store these, and publish what is new; what SNS does not take now is digest's to send."""
        if filings:
            recorded, messages = self._store.file(filings, time.time())
            self._new += [filing.alert for filing, result in zip(filings, recorded, strict=True) if result.new]
            self.publish(messages)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages, the most urgent first."""
        self.publisher.publish(sorted(messages, key=lambda message: (message.tell == "quiet", -message.level.rank)))

    def report(self) -> None:
        """What became of them, as metrics."""
        from lambdas import _metrics  # 30 ms at a cold start, which no alert has to wait for

        _metrics.report_alerts(self._new, time.time())
        publisher = self.publisher
        count = {"PublishedMessages": publisher.sent, "RefusedMessages": len(publisher.refused)}
        _metrics.count({**count, "PublishFailures": int(publisher.failure is not None)})


def _mark(store: DynamoStore, message_ids: Sequence[str]) -> None:
    store.mark_all_sent(message_ids, SINK)


def _time_left(context: Any) -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() > _SPARE_SECONDS * 1000
