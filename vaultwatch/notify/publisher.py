"""Publish stored notifications to the alerts topic, ten per call; for the functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.apart import without_any_text
from vaultwatch.notify.batch import BatchPublisher, Mark
from vaultwatch.notify.machine import sealed_json
from vaultwatch.notify.sink import Pace
from vaultwatch.notify.sns import publication
from vaultwatch.seals import UNSEALED, Seal

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

# Limits of a call (SNS API reference, PublishBatch). The size includes attributes, which are under 1 KB here.
MAX_ENTRIES = 10
MAX_CALL_BYTES = 256_000
# AWS suspends an address that gets more than ten mails a second (SNS guide, e-mail subscriptions), and evaluate, digest
# and sweep can publish at the same time. So one call a second publishes at most this many notifications for people.
MAX_NOTIFIED = 3
NOTIFIED_PACE = Pace(1.0)
MAX_FAILED_CALLS = 3
"""In a row; then SNS is unavailable. One or two can be due to a content on which it fails each time."""
_ATTRIBUTES_BYTES = 1_500
REFUSALS = {
    "InvalidParameter",
    "InvalidParameterValue",
    "ParameterValueInvalid",
    "ValidationException",
    "ValidationError",
}
REFUSALS |= {"BatchRequestTooLong", "InvalidBatchEntryId"}


Entry = tuple[Notification, dict[str, Any]]


class Publisher(BatchPublisher[list[Entry]]):
    """Publishes notifications to one topic."""

    def __init__(
        self,
        client: SNSClient,
        topic_arn: str,
        mark: Mark,
        may_go_on: Callable[[], bool],
        pace: Pace = NOTIFIED_PACE,
        audience: Audience = EVERYBODY,
        seal: Seal = UNSEALED,
        mail_key: str = "",
    ) -> None:
        """Prepare the publisher.

        Args:
            client: botocore's client for SNS.
            topic_arn: The alerts topic.
            mark: Marks notifications as sent, by their ids.
            may_go_on: Returns whether there is time for another call.
            pace: The pace of calls that notify people, shared by all publishers of a process.
            audience: Whom it is for.
            seal: Seals what machines get.
            mail_key: The key for which e-mail subscriptions ask; "" if they ask for none.
        """
        super().__init__(mark, may_go_on)
        self._client = client
        self._topic_arn = topic_arn
        self._pace = pace
        self._failed_calls = 0
        write = partial(sealed_json, seal=seal)
        self._publication = partial(publication, audience=audience, write=write, mail_key=mail_key)

    @property
    def goes_on(self) -> bool:
        """See `BatchPublisher.goes_on`."""
        return self._failed_calls < MAX_FAILED_CALLS and self._may_go_on()

    def _send(self, portion: list[Entry]) -> list[Notification]:
        if not any(_is_notified(notification) for notification, _ in portion):
            return self._publish(portion)
        with self._pace:
            return self._publish(portion)

    def _publish(self, portion: Sequence[Entry], *, bare: bool = False) -> list[Notification]:
        entries: Any = [{"Id": str(number), **entry} for number, (_, entry) in enumerate(portion)]
        try:
            answer = self._client.publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        except ClientError as error:
            return self._after_error(portion, str(error.response.get("Error", {}).get("Code")), bare)
        except (BotoCoreError, OSError) as error:
            self._fail(f"SNS could not be reached: {type(error).__name__}", calls=MAX_FAILED_CALLS)
            return []
        taken = [portion[int(one["Id"])][0] for one in answer.get("Successful", [])]
        self._failed_calls = 0 if taken else self._failed_calls
        for failed in answer.get("Failed", []):
            if failed.get("SenderFault"):
                taken += self._without_texts(portion[int(failed["Id"])][0], bare)
            else:
                self._fail(f"SNS answered {failed.get('Code', 'an error')} for one notification", calls=not taken)
        return taken

    def _fail(self, what: str, calls: int = 1) -> None:
        self.failure = DeliveryError(what)
        self._failed_calls += calls

    def _after_error(self, portion: Sequence[Entry], code: str, bare: bool) -> list[Notification]:
        """Publish each notification by itself: one that SNS refuses must not block the nine others of its call."""
        if code not in REFUSALS:
            self._fail(f"SNS answered {code}")
        elif len(portion) == 1:
            return self._without_texts(portion[0][0], bare)
        if len(portion) == 1:
            return []
        taken: list[Notification] = []
        for entry in portion:
            if self._failed_calls < MAX_FAILED_CALLS:
                taken += self._publish([entry])
        return taken

    def _without_texts(self, refused: Notification, bare: bool) -> list[Notification]:
        """Publish a refused notification without any text from a log: nobody knows every content that SNS refuses."""
        entry = None if bare else self._entry(without_any_text(refused))
        if entry is None:
            self.refused.append(refused)
            return []
        taken = self._publish([(refused, entry)], bare=True)
        self.bare_count += len(refused.alerts) if taken else 0
        return taken

    def _entry(self, notification: Notification) -> dict[str, Any] | None:
        return self._written(notification, self._publication)

    def _portions(self, notifications: Sequence[Notification]) -> Iterator[list[Entry]]:
        portion: list[Entry] = []
        size = notified = 0
        for notification in notifications:
            entry = self._entry(notification)
            if entry is None:
                continue
            length = len(entry["Message"].encode()) + _ATTRIBUTES_BYTES
            is_too_large = len(portion) == MAX_ENTRIES or size + length > MAX_CALL_BYTES
            if portion and (is_too_large or notified + _is_notified(notification) > MAX_NOTIFIED):
                yield portion
                portion, size, notified = [], 0, 0
            portion.append((notification, entry))
            size += length
            notified += _is_notified(notification)
        if portion:
            yield portion


def _is_notified(notification: Notification) -> bool:
    return notification.disposition in NOTIFIED
