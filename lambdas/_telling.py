"""Alerts into the store, and from there to the topic: the same for evaluate, sweep and digest.

What that takes is imported with the first alert: a fifth of a cold start that most never need.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from lambdas._news import News

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

    from vaultwatch.alerts import Alert
    from vaultwatch.dispatch.notification import Filing, Notification
    from vaultwatch.notify.publisher import Publisher
    from vaultwatch.store.dynamodb.adapter import DynamoStore

SINK = "sns"
_SPARE_SECONDS = 20.0


@cache
def open_store(client: DynamoDBClient, table: str, memory_days: int) -> DynamoStore:
    """The store, with the topic as its one sink: who hears what is decided by the topic's subscriptions."""
    from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, Route
    from vaultwatch.rules.facts import Level
    from vaultwatch.store.dynamodb.adapter import DynamoStore

    routes = (Route(SINK, ALL_DISPOSITIONS, Level.INFORMATIONAL),)
    return DynamoStore(client, table, routes, remembered_seconds=memory_days * 86400.0)


class Teller:
    """Stores alerts and publishes what is new, in one invocation; the store's errors pass through.

    `store` is asked for when there is something to store or to publish.
    """

    def __init__(self, store: Callable[[], DynamoStore], client: SNSClient, topic_arn: str, context: Any) -> None:
        self._store = store
        self._client = client
        self._topic_arn = topic_arn
        self._context = context
        self._news = News()

    @cached_property
    def publisher(self) -> Publisher:
        """What publishes in this invocation, while there is time."""
        from vaultwatch.notify.publisher import Publisher

        mark = partial(_mark, self._store())
        return Publisher(self._client, self._topic_arn, mark, _time_left(self._context))

    def tell(self, alerts: Sequence[Alert], file: Callable[[Alert], Filing] | None = None) -> None:
        """Store these, and publish what is new; what SNS does not take now is digest's to send.

        `file` says how an alert is counted, `file_alert` if nothing else does.
        """
        if not alerts:
            return
        from vaultwatch.dispatch.groups import file_alert

        now, filings = time.time(), [*map(file or file_alert, alerts)]
        recorded, messages = self._store().file(filings, now)
        for filing, result in zip(filings, recorded, strict=True):
            if result.new:
                self._news.add(filing.alert, now)
        self.publish(messages)

    def publish(self, messages: Sequence[Notification]) -> None:
        """Publish messages, the most urgent first."""
        self.publisher.publish(
            sorted(messages, key=lambda message: (message.disposition == "suppressed", -message.level.rank))
        )

    def report(self) -> None:
        """What became of them, as metrics."""
        from lambdas import _metrics  # 30 ms at a cold start, which no alert has to wait for

        _metrics.report_news(self._news)
        done: Publisher | None = vars(self).get("publisher")  # not made where there was nothing to publish
        count = {"PublishedMessages": done.sent if done else 0, "RefusedMessages": len(done.refused) if done else 0}
        _metrics.count({**count, "PublishFailures": int(done is not None and done.failure is not None)})


def _mark(store: DynamoStore, message_ids: Sequence[str]) -> None:
    store.mark_all_sent(message_ids, SINK)


def _time_left(context: Any) -> Callable[[], bool]:
    return lambda: context.get_remaining_time_in_millis() > _SPARE_SECONDS * 1000
