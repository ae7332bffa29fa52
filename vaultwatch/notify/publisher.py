"""The alerts topic, ten messages to a call: for functions that publish what they stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.sink import Pace
from vaultwatch.notify.sns import publication

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

# Of a call: SNS API reference, PublishBatch. The size counts attributes, which are under 1 KB here.
MAX_ENTRIES = 10
MAX_CALL_BYTES = 256_000
# Above ten mails a second to one address AWS suspends it (SNS guide, e-mail subscriptions), and evaluate, digest and
# sweep may tell at the same time; one call a second holds so many that people are told.
MAX_TOLD = 3
TOLD_PACE = Pace(1.0)
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
Mark = Callable[[Sequence[str]], None]


class Publisher:
    """Publishes what a store holds for `sink`, and marks it, until SNS fails once or time is up.

    What it leaves stays in the store, and is sent by who comes later. `refused` are messages that SNS will not have as
    they are. `pace` is that of calls by which people are told, the same for all publishers of a process.
    """

    def __init__(
        self, client: SNSClient, topic_arn: str, mark: Mark, may_go_on: Callable[[], bool], pace: Pace = TOLD_PACE
    ) -> None:
        self._client = client
        self._topic_arn = topic_arn
        self._mark = mark
        self._may_go_on = may_go_on
        self._pace = pace
        self.sent = 0
        self.refused: list[Notification] = []
        self.failure: DeliveryError | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it would try another message."""
        return self.failure is None and self._may_go_on()

    def publish(self, messages: Sequence[Notification]) -> None:
        """Publish messages in their order; what `mark` raises passes through."""
        for portion in _portions(messages):
            if not self.goes_on:
                return
            if taken := self._publish_in_turn(portion):
                self._mark([message.id for message in taken])
                self.sent += len(taken)

    def _publish_in_turn(self, portion: Sequence[Entry]) -> list[Notification]:
        if not any(_tells(message) for message, _ in portion):
            return self._publish(portion)
        self._pace.wait()
        try:
            return self._publish(portion)
        finally:
            self._pace.done()

    def _publish(self, portion: Sequence[Entry]) -> list[Notification]:
        entries: Any = [{"Id": str(number), **entry} for number, (_, entry) in enumerate(portion)]
        try:
            answer = self._client.publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        except ClientError as error:
            return self._after_error(portion, str(error.response.get("Error", {}).get("Code")))
        except (BotoCoreError, OSError) as error:
            self.failure = DeliveryError(f"SNS could not be reached: {type(error).__name__}")
            return []
        for failed in answer.get("Failed", []):
            if failed.get("SenderFault"):
                self.refused.append(portion[int(failed["Id"])][0])
            else:
                self.failure = DeliveryError(f"SNS answered {failed.get('Code', 'an error')} for one message")
        return [portion[int(taken["Id"])][0] for taken in answer.get("Successful", [])]

    def _after_error(self, portion: Sequence[Entry], code: str) -> list[Notification]:
        """One message that SNS will not have must not keep back the nine beside it."""
        if code not in REFUSALS:
            self.failure = DeliveryError(f"SNS answered {code}")
            return []
        if len(portion) == 1:
            self.refused.append(portion[0][0])
            return []
        return [message for entry in portion for message in self._publish([entry])]


def _tells(message: Notification) -> bool:
    return message.disposition in NOTIFIED


def _portions(messages: Sequence[Notification]) -> Iterator[list[Entry]]:
    portion: list[Entry] = []
    size = told = 0
    for message in messages:
        entry = publication(message)
        length = len(entry["Message"].encode()) + _ATTRIBUTES_BYTES
        full = len(portion) == MAX_ENTRIES or size + length > MAX_CALL_BYTES or told + _tells(message) > MAX_TOLD
        if portion and full:
            yield portion
            portion, size, told = [], 0, 0
        portion.append((message, entry))
        size += length
        told += _tells(message)
    if portion:
        yield portion
