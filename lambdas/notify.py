"""Sends notifications from their queue to Slack."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from lambdas._environment import make_audience, read_environment, seconds_left
from vaultwatch.aws import metrics
from vaultwatch.aws.clients import classify, make_client
from vaultwatch.aws.queue import NotificationQueue, QueueMessage
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.seals import Seal, SecretKey
from vaultwatch.store.dynamodb.sent import SentNotifications
from vaultwatch.store.dynamodb.threads import DynamoThreads

logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs the secret


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    archive_bucket_name: str
    row_seal_key: SecretKey
    slack_secret_arn: str
    table_name: str
    timezone: str
    slack_channel: str = ""


def open_slack() -> SlackBot | SlackWebhook:
    """Connect to Slack with the secret as it is now: a bot token if a channel is set, else the URL of a webhook.

    Raises:
        DeliveryError: The secret cannot be read now.
    """
    try:
        secret = SECRETS.get_secret_value(SecretId=ENVIRONMENT.slack_secret_arn)["SecretString"]
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"the secret of Slack: {classify(error).text}") from None
    if ENVIRONMENT.slack_channel:
        return SlackBot(secret, ENVIRONMENT.slack_channel, THREADS, audience=AUDIENCE)
    return SlackWebhook(secret, audience=AUDIENCE)


ENVIRONMENT = read_environment(Environment)
AUDIENCE = make_audience(ENVIRONMENT.timezone, ENVIRONMENT.archive_bucket_name)
SECRETS, SQS, DYNAMODB = make_client("secretsmanager"), make_client("sqs"), make_client("dynamodb")
SENT = SentNotifications(DYNAMODB, ENVIRONMENT.table_name, "slack")
THREADS = DynamoThreads(DYNAMODB, ENVIRONMENT.table_name, "slack")
QUEUE = NotificationQueue(SQS, open_slack, SENT, Seal(ENVIRONMENT.row_seal_key))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver one batch of an SQS event source; what Slack did not accept goes back to the queue."""
    delivery = QUEUE.deliver([_message(record) for record in event["Records"]], seconds_left(context))
    counts = {
        metrics.SENT_NOTIFICATIONS: delivery.sent,
        metrics.FAILED_NOTIFICATIONS: len(delivery.failed),
        metrics.FOREIGN_MESSAGES: delivery.foreign,
    }
    metrics.write(counts, sink="slack")
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in delivery.failed]}


def _message(record: dict[str, Any]) -> QueueMessage:
    return QueueMessage(
        id=record["messageId"],
        receipt_handle=record["receiptHandle"],
        queue_arn=record["eventSourceARN"],
        receives=int(record["attributes"]["ApproximateReceiveCount"]),
        body=record["body"],
    )
