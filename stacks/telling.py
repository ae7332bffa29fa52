"""From the topic to people: e-mail, and Slack through a queue and `notify`."""

from __future__ import annotations

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks import permissions as may
from stacks.alarms import Alarms
from stacks.functions import Shape, make_function
from stacks.queues import Queue
from vaultwatch.rules.facts import Level
from vaultwatch.settings import Settings


def add_email(topic: sns.Topic, settings: Settings) -> None:
    """Subscribe the addresses of the settings; AWS asks each of them to confirm."""
    told = _told(settings.alert_email_level)
    for address in settings.alert_emails:
        topic.add_subscription(subscriptions.EmailSubscription(address, filter_policy=told))


def add_slack(
    scope: Construct,
    topic: sns.Topic,
    *,
    key: kms.Key,
    table: dynamodb.Table,
    code: lambda_.Code,
    settings: Settings,
    alarms: Alarms,
) -> None:
    """A queue, and a function that empties it into Slack. The webhook's URL is put into its secret by hand."""
    secret = secretsmanager.CfnSecret(
        scope,
        "SlackWebhook",
        description="The URL of Slack's incoming webhook; put here after deployment",
        kms_key_id=key.key_arn,
    )
    secret.apply_removal_policy(RemovalPolicy.DESTROY)
    reason = "Slack has no way to rotate a webhook by itself; only notify may read it, and an alarm says when it fails."
    may.acknowledge(secret, "SMG4", reason)
    shape = Shape(description="Tells alerts in Slack", memory_mib=256, timeout_seconds=60)
    waiting = Queue(scope, "SlackQueue", shape=shape, receives=400, alarms=alarms)  # 400 times 6 min: 40 hours
    function = make_function(
        scope,
        "notify",
        code=code,
        settings=settings,
        shape=shape,
        environment={"SLACK_SECRET_ARN": secret.ref, "TABLE_NAME": table.table_name},
        may=[
            may.receive_messages(waiting.queue),
            may.allow("HonourRetryAfter", ["sqs:ChangeMessageVisibility"], [waiting.queue.queue_arn]),
            may.keep_receipts(table),
            may.allow("ReadWebhook", ["secretsmanager:GetSecretValue"], [secret.ref]),
            may.allow("DecryptSecret", ["kms:Decrypt"], [key.key_arn], via="secretsmanager"),
        ],
    )
    alarms.watch_function("notify", function)
    # Slack takes one message a second from a webhook; fewer than 2 at a time Lambda does not offer.
    waiting.feed(function, batch_size=10, concurrency=2)
    told = _told(settings.slack_level)
    topic.add_subscription(subscriptions.SqsSubscription(waiting.queue, raw_message_delivery=True, filter_policy=told))
    CfnOutput(scope, "SlackSecretArn", value=secret.ref, description="put the webhook's URL into this secret")


def _told(minimum: Level) -> dict[str, sns.SubscriptionFilter]:
    """People hear firsts and summaries, from a level on."""
    levels = [level.value for level in Level if level.rank >= minimum.rank]
    return {
        "disposition": sns.SubscriptionFilter.string_filter(allowlist=["first", "summary"]),
        "level": sns.SubscriptionFilter.string_filter(allowlist=levels),
    }
