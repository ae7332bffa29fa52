"""Alerts from their queue into Slack, one message a second, each once as far as that can be known.

What Slack did not take stays in the queue. If Slack asks to wait, that is done here while there is time, and else by
leaving the messages invisible for so long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from aws_lambda_powertools import Logger

from lambdas import _metrics
from lambdas._environment import make_client, read_environment
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.notify.text import decode_message
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.sent import Receipts

log = Logger()
logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs what the secret holds
_SPARE_SECONDS = 15.0
_FIRST_PAUSE_SECONDS = 30.0  # after a failure
_LONGEST_PAUSE_SECONDS = 360.0  # the queue's own; with it, the receives that a message has outlast a day
_LONGEST_INVISIBLE_SECONDS = 43_200  # SQS API reference


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    slack_secret_arn: str
    table_name: str


class SlackAway(Exception):
    """Slack takes nothing for that many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


ENVIRONMENT = read_environment(Environment)
SECRETS, SQS = make_client("secretsmanager"), make_client("sqs")
RECEIPTS = Receipts(make_client("dynamodb"), ENVIRONMENT.table_name, "slack")


@cache
def slack() -> SlackWebhook:
    """Slack, at the URL that the secret holds when the first message comes."""
    return SlackWebhook(SECRETS.get_secret_value(SecretId=ENVIRONMENT.slack_secret_arn)["SecretString"])


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Disposition what these queue messages hold; those that Slack did not take are answered as failures."""
    waiting = [(record, _read(record)) for record in event["Records"]]
    known = _known(message.id for _, message in waiting if message)
    failed: list[dict[str, Any]] = []
    told = 0
    while waiting:
        record, message = waiting.pop(0)
        if message and message.id in known:
            continue
        try:
            if message and _tell(message, record, context):
                told += 1
                known.add(message.id)
            else:
                failed.append(record)
        except SlackAway as away:
            left = [record, *(other for other, _ in waiting)]
            _hide(left, away.seconds)
            failed += left
            break
    _metrics.count({"SlackMessages": told, "SlackFailures": len(failed)})
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _read(record: dict[str, Any]) -> Notification | None:
    """The message, as SNS delivers it raw or in its envelope."""
    body = record["body"].encode()
    try:
        envelope = msgspec.json.decode(body)
        inner = envelope.get("Message") if isinstance(envelope, dict) else None
        return decode_message(inner.encode() if isinstance(inner, str) else body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        log.error("a queue message is no alert; it goes to the dead letters", extra={"id": record["messageId"]})
        return None


def _tell(message: Notification, record: dict[str, Any], context: Any) -> bool:
    """Whether Slack took it, or will never; raises `SlackAway`."""
    seconds = 1.0
    while True:
        if _seconds_left(context) < _SPARE_SECONDS:
            raise SlackAway(seconds)
        try:
            slack().send(message)
        except SinkBusy as busy:
            seconds = _pause(busy.retry_after_seconds, record)
            if busy.retry_after_seconds > _seconds_left(context) - _SPARE_SECONDS:
                raise SlackAway(seconds) from None
            time.sleep(busy.retry_after_seconds)
            continue
        except SinkRefused as refused:
            log.error(str(refused), extra={"alert": message.id})
            return False
        except (SinkMisconfigured, SettingError) as error:
            log.error(str(error))
            slack.cache_clear()  # the next call reads the secret again, which somebody may have repaired
            raise SlackAway(_pause(_FIRST_PAUSE_SECONDS, record)) from None
        except DeliveryError as error:
            log.warning(str(error))
            raise SlackAway(_pause(_FIRST_PAUSE_SECONDS, record)) from None
        _remember(message)
        return True


def _pause(seconds: float, record: dict[str, Any]) -> float:
    """How long a message is left alone that could not be told: these seconds, twice as many with each further try."""
    tries = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    return max(seconds, min(seconds * 2.0 ** min(tries - 1, 10), _LONGEST_PAUSE_SECONDS))


def _known(message_ids: Iterable[str]) -> set[str]:
    """Which were told before; without the table, none: told twice is better than not."""
    try:
        return RECEIPTS.known(message_ids)
    except StoreError as error:
        log.warning(str(error))
        return set()


def _remember(message: Notification) -> None:
    try:
        RECEIPTS.give(message.id, time.time())
    except StoreError as error:
        log.warning(str(error))


def _hide(records: Iterable[dict[str, Any]], seconds: float) -> None:
    """Leave these invisible for so long; if that fails, they come back when the queue's own time is over."""
    for record in records:
        account, name = record["eventSourceARN"].split(":")[4:6]
        try:
            SQS.change_message_visibility(
                QueueUrl=f"{SQS.meta.endpoint_url}/{account}/{name}",
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=min(int(seconds) + 1, _LONGEST_INVISIBLE_SECONDS),
            )
        except Exception as error:  # noqa: BLE001 - only the time of the next try is lost
            log.warning("cannot change when a message comes back: %s", type(error).__name__)


def _seconds_left(context: Any) -> float:
    return float(context.get_remaining_time_in_millis()) / 1000
