"""The history in S3: alerts that notify nobody go to its Firehose directly, hundreds in a call.

First alerts and summaries reach the same Firehose through the alerts topic. Each line is like those that SNS writes
there, so that one query reads all of them: the notification is JSON in `Message`, and `MessageAttributes` has its
disposition, level, rule, service and cluster.

Limits (Firehose API reference, PutRecordBatch): 500 records and 4 MiB in a call, 1,000 KiB in a record. A call may
accept some of its records only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.backoff import Backoff
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.batch import BatchPublisher, Mark
from vaultwatch.notify.machine import machine_json
from vaultwatch.notify.sns import attributes
from vaultwatch.printable import counted

MAX_RECORDS = 500
MAX_CALL_BYTES = 4 * 1024 * 1024
MAX_RECORD_BYTES = 1000 * 1024
_MACHINE_BYTES = 480_000  # escaped once more in the line, JSON at most doubles
_ATTEMPTS = 4
_PAUSE = Backoff(first_seconds=0.2, longest_seconds=2.0)

_Line = tuple[str, bytes]  # with the id of its notification


class FirehoseClient(Protocol):
    """The method of `boto3.client("firehose")` that is used."""

    def put_record_batch(self, **kwargs: Any) -> Any:
        """Put records; raises botocore's errors."""
        ...


class HistoryPublisher(BatchPublisher[list[Notification]]):
    """Puts notifications into one delivery stream, a line for each alert.

    Args:
        client: Returns botocore's client for Firehose; called when there is something to put.
        stream_name: The delivery stream.
        mark: Marks notifications as sent, by their ids.
        may_go_on: Returns whether there is time for another call.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        client: Callable[[], FirehoseClient],
        stream_name: str,
        mark: Mark,
        may_go_on: Callable[[], bool],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(mark, may_go_on)
        self._client = client
        self._stream_name = stream_name
        self._sleep = sleep

    def _portions(self, notifications: Sequence[Notification]) -> Iterator[list[Notification]]:
        portion: list[Notification] = []
        for notification in notifications:
            if sum(len(one.alerts) for one in [*portion, notification]) > MAX_RECORDS and portion:
                yield portion
                portion = []
            portion.append(notification)
        if portion:
            yield portion

    def _send(self, portion: list[Notification]) -> list[Notification]:
        lines = [(one.id, line) for one in portion for line in self._written(one, _all_lines) or ()]
        missing = {id_ for call in _calls(lines) for id_, _ in self._put(call)}
        missing.update(one.id for one in self.refused)
        return [notification for notification in portion if notification.id not in missing]

    def _put(self, lines: list[_Line]) -> list[_Line]:
        """Put lines, those that Firehose does not accept again; return what it has not accepted."""
        for failures in range(1, _ATTEMPTS + 1):
            if not self.goes_on or not (lines := self._call(lines)):
                return lines
            self._sleep(_PAUSE.full_jitter(failures))
        self.failure = DeliveryError(f"Firehose did not accept {counted(len(lines), 'record')} in {_ATTEMPTS} attempts")
        return lines

    def _call(self, lines: list[_Line]) -> list[_Line]:
        records = [{"Data": line} for _, line in lines]
        try:
            answer = self._client().put_record_batch(DeliveryStreamName=self._stream_name, Records=records)
        except ClientError as error:
            self.failure = DeliveryError(f"Firehose answered {error.response.get('Error', {}).get('Code')}")
            return lines
        except (BotoCoreError, OSError) as error:
            self.failure = DeliveryError(f"Firehose could not be reached: {type(error).__name__}")
            return lines
        return [line for line, one in zip(lines, answer["RequestResponses"], strict=True) if one.get("ErrorCode")]


def history_lines(notification: Notification) -> Iterator[bytes]:
    """Yield the lines about a notification, one for each of its alerts.

    Args:
        notification: A notification that counts no other alerts.
    """
    for alert in notification.alerts:
        one = msgspec.structs.replace(notification, id=alert.id, alerts=(alert,))
        line = {
            "Type": "Notification",
            "MessageId": one.id,
            "Message": machine_json(one, _MACHINE_BYTES).decode(),
            "Timestamp": datetime.fromtimestamp(one.created_at, UTC).isoformat(timespec="milliseconds"),
            "MessageAttributes": {name: {"Type": "String", "Value": value} for name, value in attributes(one).items()},
        }
        yield msgspec.json.encode(line) + b"\n"


def _all_lines(notification: Notification) -> list[bytes]:
    return list(history_lines(notification))


def _calls(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    call: list[_Line] = []
    size = 0
    for line in lines:
        if call and (len(call) == MAX_RECORDS or size + len(line[1]) > MAX_CALL_BYTES):
            yield call
            call, size = [], 0
        call.append(line)
        size += len(line[1])
    if call:
        yield call
