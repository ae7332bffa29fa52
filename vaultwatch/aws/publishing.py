"""Store alerts and publish their notifications, for `evaluate`, `sweep` and `digest`.

What people are notified of goes to the alerts topic, every other alert to the Firehose of the history. The store and
the publishers are imported when they are first used: they take a fifth of a cold start, and most batches raise no
alert.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.aws import metrics
from vaultwatch.backoff import Backoff
from vaultwatch.seals import Seal, foreign_rows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sns import SNSClient

    from vaultwatch.alerts import Alert
    from vaultwatch.dispatch.notification import Filing, Notification
    from vaultwatch.notify.history import FirehoseClient, HistoryPublisher
    from vaultwatch.notify.publisher import Publisher
    from vaultwatch.store import Unsent
    from vaultwatch.store.apart import FailedAlert
    from vaultwatch.store.dynamodb.adapter import DynamoStore

TOPIC = "sns"
HISTORY = "history"
UNSENT_AFTER_SECONDS = 60.0
"""Newer notifications are left to the function that stored them, which may be publishing them at this moment."""
MAX_FAILED = 100
"""Alerts that could not be stored as they are and that are held until they are kept elsewhere."""
_log = logging.getLogger(__name__)
_PUBLISHING_SPARE_SECONDS = 20.0
_CLOSING_SPARE_SECONDS = 30.0  # to publish the summaries once the suppression windows are closed
_PAGE = 100
_AGAIN = Backoff(first_seconds=60.0, longest_seconds=3600.0)


@cache
def open_store(client: DynamoDBClient, table: str, seal: Seal, memory_days: int) -> DynamoStore:
    """Open the store with two sinks: the topic, whose subscriptions decide who gets which notification, and history."""
    from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED
    from vaultwatch.dispatch.routes import Route
    from vaultwatch.rules.facts import Level
    from vaultwatch.store.dynamodb.adapter import DynamoStore

    routes = (
        Route(TOPIC, NOTIFIED, Level.INFORMATIONAL),
        Route(HISTORY, ALL_DISPOSITIONS - NOTIFIED, Level.INFORMATIONAL, batched=True),
    )
    return DynamoStore(client, table, seal, routes, remembered_seconds=memory_days * 86400.0)


class History(NamedTuple):
    """The delivery stream that writes the history to S3; `client` returns botocore's client for Firehose."""

    client: Callable[[], FirehoseClient]
    stream_name: str


class Topic(NamedTuple):
    """The topic that notifies people.

    Attributes:
        client: botocore's client for SNS.
        arn: The topic.
        seal: Seals what `notify` gets.
        mail_key: The key for which e-mail subscriptions ask.
    """

    client: SNSClient
    arn: str
    seal: Seal
    mail_key: str


class AlertPublisher:
    """Stores alerts and publishes their notifications, during one invocation of a function.

    Errors of the store pass through. What a service does not accept stays in the store, and `digest` publishes it
    later. An alert whose texts make our own code raise is stored and published without them.

    Args:
        store: Returns the store; called when there is something to store or to publish.
        topic: The alerts topic.
        history: Gets the alerts that notify nobody.
        seconds_left: Returns how long the function may still run.
        audience: Whom it is for.

    Attributes:
        failed: The first alerts that could not be stored as they are, to be kept elsewhere; the log names all of them.
    """

    def __init__(
        self,
        store: Callable[[], DynamoStore],
        topic: Topic,
        history: History,
        seconds_left: Callable[[], float],
        audience: Audience = EVERYBODY,
    ) -> None:
        self._store = store
        self._alerts_topic = topic
        self._history_stream = history
        self._seconds_left = seconds_left
        self._audience = audience
        self._new_alerts = metrics.NewAlerts()
        self._failed_count = 0
        self.failed: list[FailedAlert] = []

    @cached_property
    def _topic(self) -> Publisher:
        from vaultwatch.notify.publisher import Publisher

        client, arn, seal, mail_key = self._alerts_topic
        return Publisher(
            client,
            arn,
            partial(self._mark, TOPIC),
            self._may_go_on,
            audience=self._audience,
            seal=seal,
            mail_key=mail_key,
        )

    @cached_property
    def _history(self) -> HistoryPublisher:
        from vaultwatch.notify.history import HistoryPublisher

        return HistoryPublisher(*self._history_stream, partial(self._mark, HISTORY), self._may_go_on)

    @property
    def _used(self) -> list[Publisher | HistoryPublisher]:
        """The publishers that had something to publish: no others were made."""
        return [vars(self)[name] for name in ("_topic", "_history") if name in vars(self)]

    @property
    def published_count(self) -> int:
        """How many notifications were accepted, by the topic or for the history."""
        return sum(publisher.sent for publisher in self._used)

    def add(self, alerts: Sequence[Alert], file: Callable[[Alert], Filing] | None = None) -> None:
        """Store alerts, and publish the notifications of those that are new.

        Args:
            alerts: What a batch or a part of one raised.
            file: Decides how an alert is counted; `file_alert` by default.
        """
        if not alerts:
            return
        from vaultwatch.dispatch.groups import file_alert
        from vaultwatch.store.apart import file_apart

        now = time.time()
        filed = file_apart(self._store(), alerts, file or file_alert, now)
        for filing, result in filed.recorded:
            if result.new:
                self._new_alerts.add(filing.alert, now)
        self._note_failed(filed.failed)
        self._publish(filed.notifications)

    def _note_failed(self, failed: Sequence[FailedAlert]) -> None:
        for one in failed:
            _log.error("alert %s of %s cannot be stored as it is: %s", one.alert.id, one.alert.rule, one.error)
        self._failed_count += len(failed)
        self.failed += failed[: max(0, MAX_FAILED - len(self.failed))]

    def publish_due(self, now: float) -> None:
        """Close suppression windows that have ended, as far as time allows, and publish the summaries."""
        self._publish(self._store().settle(now, lambda: self._seconds_left() > _CLOSING_SPARE_SECONDS))

    def publish_unsent(self, sink: str, now: float) -> None:
        """Publish what an earlier invocation stored but could not publish.

        Args:
            sink: `TOPIC` or `HISTORY`.
            now: The present time.
        """
        found, publisher = 0, self._topic if sink == TOPIC else self._history
        try:
            while page := self._store().unsent(sink, now, limit=_PAGE, age_seconds=UNSENT_AFTER_SECONDS):
                found += len(page)
                self._publish_page(page, publisher, sink, now)
                if not publisher.goes_on:
                    break
        finally:
            metrics.write({metrics.UNSENT_NOTIFICATIONS: found})

    def _publish_page(
        self, page: Sequence[Unsent], publisher: Publisher | HistoryPublisher, sink: str, now: float
    ) -> None:
        """Publish a page; what is refused or cannot be marked as sent is published again at growing intervals only."""
        attempts = {unsent.notification.id: unsent.attempts for unsent in page}
        try:
            publisher.publish([unsent.notification for unsent in page])
        finally:
            again = {one.id for one in (*publisher.refused, *publisher.unmarked)}
            for id_ in again & attempts.keys():
                self._store().put_off(id_, sink, now + _AGAIN.seconds(attempts[id_] + 1))

    def write_metrics(self) -> None:
        """Write how many alerts were new, and what became of their notifications."""
        metrics.write_new_alerts(self._new_alerts)
        used = self._used
        metrics.write(
            {
                metrics.FAILED_ALERTS: self._failed_count + sum(publisher.bare_count for publisher in used),
                metrics.FOREIGN_ROWS: foreign_rows.taken(),
                metrics.PUBLISHED_NOTIFICATIONS: self.published_count,
                metrics.REFUSED_NOTIFICATIONS: sum(len(publisher.refused) for publisher in used),
                metrics.PUBLISH_FAILURES: int(any(publisher.failure for publisher in used)),
            }
        )

    def _publish(self, notifications: Sequence[Notification]) -> None:
        """Publish notifications: first those for people, the highest level first."""
        from vaultwatch.dispatch.notification import NOTIFIED

        people = [one for one in notifications if one.disposition in NOTIFIED]
        others = [one for one in notifications if one.disposition not in NOTIFIED]
        try:
            if people:
                self._topic.publish(sorted(people, key=lambda one: -one.level.rank))
        finally:
            if others:
                self._history.publish(others)

    def _mark(self, sink: str, notification_ids: Sequence[str]) -> None:
        self._store().mark_sent(notification_ids, sink, time.time())

    def _may_go_on(self) -> bool:
        return self._seconds_left() > _PUBLISHING_SPARE_SECONDS
