"""Store alerts and publish their notifications to the topic, for `evaluate`, `sweep` and `digest`.

The store and SNS are imported when they are first used: they take a fifth of a cold start, and most batches raise no
alert.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from functools import cache, cached_property
from typing import TYPE_CHECKING

from vaultwatch.aws import metrics
from vaultwatch.backoff import Backoff

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

    from vaultwatch.alerts import Alert
    from vaultwatch.dispatch.notification import Filing, Notification
    from vaultwatch.notify.publisher import Publisher
    from vaultwatch.store import Unsent
    from vaultwatch.store.dynamodb.adapter import DynamoStore

SINK = "sns"
UNSENT_AFTER_SECONDS = 60.0
"""Newer notifications are left to the function that stored them, which may be publishing them at this moment."""
_PUBLISHING_SPARE_SECONDS = 20.0
_CLOSING_SPARE_SECONDS = 30.0  # to publish the summaries once the suppression windows are closed
_PAGE = 100
_REFUSED = Backoff(first_seconds=60.0, longest_seconds=3600.0)


@cache
def open_store(client: DynamoDBClient, table: str, memory_days: int) -> DynamoStore:
    """Open the store with the topic as its only sink: the topic's subscriptions decide who gets which notification."""
    from vaultwatch.dispatch.notification import ALL_DISPOSITIONS
    from vaultwatch.dispatch.routes import Route
    from vaultwatch.rules.facts import Level
    from vaultwatch.store.dynamodb.adapter import DynamoStore

    routes = (Route(SINK, ALL_DISPOSITIONS, Level.INFORMATIONAL),)
    return DynamoStore(client, table, routes, remembered_seconds=memory_days * 86400.0)


class AlertPublisher:
    """Stores alerts and publishes their notifications, during one invocation of a function.

    Errors of the store pass through. What SNS does not accept stays in the store, and `digest` publishes it later.

    Args:
        store: Returns the store; called when there is something to store or to publish.
        client: botocore's client for SNS.
        topic_arn: The alerts topic.
        seconds_left: Returns how long the function may still run.
        zone: The time zone for people.
    """

    def __init__(
        self,
        store: Callable[[], DynamoStore],
        client: SNSClient,
        topic_arn: str,
        seconds_left: Callable[[], float],
        zone: tzinfo = UTC,
    ) -> None:
        self._store = store
        self._client = client
        self._topic_arn = topic_arn
        self._seconds_left = seconds_left
        self._zone = zone
        self._new_alerts = metrics.NewAlerts()

    @cached_property
    def _publisher(self) -> Publisher:
        from vaultwatch.notify.publisher import Publisher

        def mark(notification_ids: Sequence[str]) -> None:
            self._store().mark_sent(notification_ids, SINK)

        return Publisher(
            self._client,
            self._topic_arn,
            mark,
            lambda: self._seconds_left() > _PUBLISHING_SPARE_SECONDS,
            zone=self._zone,
        )

    @property
    def published_count(self) -> int:
        """How many notifications SNS has accepted."""
        return self._publisher.sent

    def add(self, alerts: Sequence[Alert], file: Callable[[Alert], Filing] | None = None) -> None:
        """Store alerts, and publish the notifications of those that are new.

        Args:
            alerts: What a batch or a part of one raised.
            file: Decides how an alert is counted; `file_alert` by default.
        """
        if not alerts:
            return
        from vaultwatch.dispatch.groups import file_alert

        now, filings = time.time(), [*map(file or file_alert, alerts)]
        recorded, notifications = self._store().file(filings, now)
        for filing, result in zip(filings, recorded, strict=True):
            if result.new:
                self._new_alerts.add(filing.alert, now)
        self._publish(notifications)

    def publish_due(self, now: float) -> None:
        """Close suppression windows that have ended, as far as time allows, and publish the summaries."""
        self._publish(self._store().settle(now, lambda: self._seconds_left() > _CLOSING_SPARE_SECONDS))

    def publish_unsent(self, now: float) -> None:
        """Publish what an earlier invocation stored but could not publish; postpone what SNS refuses."""
        found = 0
        try:
            while page := self._store().unsent(SINK, now, limit=_PAGE, age_seconds=UNSENT_AFTER_SECONDS):
                found += len(page)
                self._publish_page(page, now)
                if not self._publisher.goes_on:
                    break
        finally:
            metrics.write({metrics.UNSENT_NOTIFICATIONS: found})

    def _publish_page(self, page: Sequence[Unsent], now: float) -> None:
        attempts = {unsent.notification.id: unsent.attempts for unsent in page}
        already_refused = len(self._publisher.refused)
        self._publisher.publish([unsent.notification for unsent in page])
        for refused in self._publisher.refused[already_refused:]:
            self._store().put_off(refused.id, SINK, now + _REFUSED.seconds(attempts[refused.id] + 1))

    def write_metrics(self) -> None:
        """Write how many alerts were new, and what became of their notifications."""
        metrics.write_new_alerts(self._new_alerts)
        used: Publisher | None = vars(self).get("_publisher")  # not made where there was nothing to publish
        metrics.write(
            {
                metrics.PUBLISHED_NOTIFICATIONS: used.sent if used else 0,
                metrics.REFUSED_NOTIFICATIONS: len(used.refused) if used else 0,
                metrics.PUBLISH_FAILURES: int(used is not None and used.failure is not None),
            }
        )

    def _publish(self, notifications: Sequence[Notification]) -> None:
        """Publish notifications: first those for people, the highest level first."""
        self._publisher.publish(
            sorted(notifications, key=lambda one: (one.disposition == "suppressed", -one.level.rank))
        )
