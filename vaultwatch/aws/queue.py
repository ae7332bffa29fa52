"""Deliver notifications from an SQS queue to one sink, and skip those that are known to have been sent.

A message without the seal of the deployment is dropped and counted: somebody who may publish to the topic, and has not
the key, must neither speak in the name of Vaultwatch nor use up the time of what is real.

A notification that the sink does not accept stays in the queue. If the sink asks us to wait, `deliver` waits while
there is time; otherwise the messages stay invisible for that long. If the sink fails, the notification on which it did
stays invisible for twice as long as those behind it: they are tried without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.backoff import Backoff
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.machine import decode_notification, is_sealed
from vaultwatch.printable import one_line
from vaultwatch.seals import Seal
from vaultwatch.store import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from vaultwatch.notify.sink import Sink
    from vaultwatch.store.dynamodb.sent import SentNotifications

_SPARE_SECONDS = 15.0
_FIRST_PAUSE_SECONDS = 30.0  # after a failure
_LONGEST_PAUSE_SECONDS = (
    360.0  # the queue's visibility timeout, with which the receives of a message last for more than a day
)
_QUOTED = 500
"""How many characters of a foreign message the log shows: many may come."""
_MAX_INVISIBLE_SECONDS = 43_200  # SQS API reference, ChangeMessageVisibility
_log = logging.getLogger(__name__)


class QueueMessage(msgspec.Struct, frozen=True):
    """One SQS message, as an event source mapping delivers it; `receives` is how often it has been received."""

    id: str
    receipt_handle: str
    queue_arn: str
    receives: int
    body: str

    def published(self, seal: Seal) -> bytes | None:
        """Return what was published, which SNS delivers bare or in its envelope; None if it has not this seal."""
        try:
            body = self.body.encode()
            if is_sealed(body, seal):
                return body
            inner = msgspec.json.decode(body, type=_Envelope).Message.encode()
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return inner if is_sealed(inner, seal) else None


class _Envelope(msgspec.Struct, frozen=True):
    Message: str


class Delivery(msgspec.Struct):
    """The result of a batch.

    Attributes:
        sent: How many notifications the sink accepted.
        foreign: How many messages Vaultwatch has not published.
        failed: The messages that return to the queue.
    """

    sent: int = 0
    foreign: int = 0
    failed: list[QueueMessage] = []


_Pause = Callable[[QueueMessage], float]
"""Returns for how many seconds to postpone a message."""


class _Unavailable(Exception):
    """The sink accepts nothing now.

    Args:
        pause: How long the messages wait.
        own_pause: How long the one waits with which that was found; by default like the others.
    """

    def __init__(self, pause: _Pause, own_pause: _Pause | None = None) -> None:
        super().__init__()
        self.pause = pause
        self.own_pause = own_pause or pause


class NotificationQueue:
    """Delivers batches of messages to a sink.

    Args:
        client: botocore's client for SQS.
        open_sink: Opens the sink; called for the first notification, and again when the sink's settings were wrong,
            because somebody may have repaired them.
        sent: The notifications that the sink has accepted before.
        seal: The seal of what is published.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        client: SQSClient,
        open_sink: Callable[[], Sink],
        sent: SentNotifications,
        seal: Seal,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._sent = sent
        self._seal = seal
        self._sleep = sleep

    def deliver(self, messages: Sequence[QueueMessage], seconds_left: Callable[[], float]) -> Delivery:
        """Send the notifications of a batch, in order, until the sink is unavailable or the time is up."""
        delivery = Delivery()
        messages, notifications = self._own(messages, delivery)
        known = self._known(notification.id for notification in notifications if notification)
        for place, (message, notification) in enumerate(zip(messages, notifications, strict=True)):
            if notification and notification.id in known:
                continue
            try:
                accepted = self._accepts(message, notification, seconds_left)
            except _Unavailable as unavailable:
                self._hide([message], unavailable.own_pause)
                self._hide(messages[place + 1 :], unavailable.pause)
                delivery.failed += messages[place:]
                break
            if notification and accepted:
                delivery.sent += 1
                known.add(notification.id)
            else:
                delivery.failed.append(message)
        return delivery

    def _own(
        self, messages: Sequence[QueueMessage], delivery: Delivery
    ) -> tuple[list[QueueMessage], list[Notification | None]]:
        """Return the messages that Vaultwatch has published, with their notifications; others are counted."""
        own, notifications = list[QueueMessage](), list[Notification | None]()
        for message in messages:
            if (body := message.published(self._seal)) is None:
                delivery.foreign += 1
                quoted = one_line(message.body, _QUOTED)
                _log.error("message %s was not published by Vaultwatch, and is not sent: %s", message.id, quoted)
                continue
            own.append(message)
            try:
                notifications.append(decode_notification(body))
            except msgspec.DecodeError:  # of another version
                notifications.append(None)
        return own, notifications

    def _accepts(
        self, message: QueueMessage, notification: Notification | None, seconds_left: Callable[[], float]
    ) -> bool:
        if notification is None:
            _log.error("message %s contains no notification; it goes to the dead-letter queue", message.id)
            return False
        if not self._send(notification, seconds_left):
            return False
        self._remember(notification)
        return True

    def _send(self, notification: Notification, seconds_left: Callable[[], float]) -> bool:
        """Return whether the sink accepts it, or refuses it for good; raises `_Unavailable`."""
        pause: _Pause = _soon
        while seconds_left() >= _SPARE_SECONDS:
            try:
                self._opened_sink().send(notification)
            except SinkBusy as busy:
                pause = partial(_pause, busy.retry_after_seconds)
                if busy.retry_after_seconds > seconds_left() - _SPARE_SECONDS:
                    break
                self._sleep(busy.retry_after_seconds)
            except SinkRefused as refused:
                _log.error("notification %s: %s", notification.id, refused)
                return False
            except (SinkMisconfigured, SettingError) as error:
                _log.error("%s", error)
                self._sink = None
                raise _Unavailable(_after_failure) from None
            except DeliveryError as error:
                _log.warning("notification %s: %s", notification.id, error)
                raise _Unavailable(_after_failure, lambda failed: 2 * _after_failure(failed)) from None
            else:
                return True
        raise _Unavailable(pause)

    def _opened_sink(self) -> Sink:
        if self._sink is None:
            self._sink = self._open_sink()
        return self._sink

    def _known(self, notification_ids: Iterable[str]) -> set[str]:
        """Return which of these were sent before; none if the table cannot be read: twice is better than never."""
        try:
            return self._sent.known(notification_ids)
        except StoreError as error:
            _log.warning("cannot read which notifications were sent before: %s", error)
            return set()

    def _remember(self, notification: Notification) -> None:
        try:
            self._sent.add(notification.id, time.time())
        except StoreError as error:
            _log.warning("notification %s: cannot store that it was sent: %s", notification.id, error)

    def _hide(self, messages: Iterable[QueueMessage], pause: _Pause) -> None:
        """Keep messages invisible for some time; if that fails, the queue's visibility timeout applies."""
        for message in messages:
            account, name = message.queue_arn.split(":")[4:6]
            try:
                self._client.change_message_visibility(
                    QueueUrl=f"{self._client.meta.endpoint_url}/{account}/{name}",
                    ReceiptHandle=message.receipt_handle,
                    VisibilityTimeout=min(int(pause(message)) + 1, _MAX_INVISIBLE_SECONDS),
                )
            except Exception as error:  # noqa: BLE001 - only the time of the next attempt is lost
                _log.warning("message %s: cannot change its visibility: %s", message.id, type(error).__name__)


def _pause(seconds: float, message: QueueMessage) -> float:
    """Return for how many seconds to postpone a message: twice as long after each further receive."""
    return max(seconds, Backoff(seconds, _LONGEST_PAUSE_SECONDS).seconds(message.receives))


def _soon(_: QueueMessage) -> float:
    """Return the pause of messages for which no time is left."""
    return 1.0


_after_failure = partial(_pause, _FIRST_PAUSE_SECONDS)
