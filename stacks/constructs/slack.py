"""Notifications in Slack: two queues on the alerts topic, and the function `notify`, which empties both.

Whoever has the stolen credential of a publishing function can fill a queue with messages that `notify` drops, and so
delay what is behind them. He has not the key of e-mails: what has another one waits in a queue of its own. `notify`
judges both by the seal, so that what is real reaches Slack also while the filters have another key than the functions.
"""

from __future__ import annotations

from functools import partial

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct, IDependable

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alerts import Alerts
from stacks.constructs.filters import Filter, with_another_mail_key, with_mail_key
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.queue import Queue

_SIZE = FunctionSize(memory_mib=256, timeout_seconds=60)
_MAX_RECEIVES = 400
"""Of 6 minutes each: 40 hours."""


class SlackNotifications(Construct):
    """The function `notify`, its queues, and the secret that holds Slack's webhook URL or bot token.

    Args:
        scope: The construct that holds the notifications.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        alerts: Where alerts are stored and published.
        key: The key that encrypts the secret.
        publishers: The functions that publish: at an upgrade, the filters ask for the key once all functions have it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        alerts: Alerts,
        key: kms.Key,
        publishers: IDependable,
    ) -> None:
        super().__init__(scope, construct_id)
        self.secret = self._secret(key)
        make_queue = partial(
            Queue, self, consumer="notify", size=_SIZE, max_receives=_MAX_RECEIVES, alarms=defaults.alarms
        )
        queue, others = make_queue("Queue"), make_queue("OtherQueue", name="notify-others")
        waiting = (queue.waiting, others.waiting)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="notify",
            description="Sends notifications to Slack",
            size=_SIZE,
            environment={
                "SLACK_SECRET_ARN": self.secret.ref,
                "TABLE_NAME": alerts.table.table_name,
                **alerts.audience,
                **alerts.sealing,
                **({"SLACK_CHANNEL": channel} if (channel := defaults.settings.slack_channel) else {}),
            },
            statements=[
                permissions.receive_messages(*waiting),
                permissions.allow("DelayMessages", ["sqs:ChangeMessageVisibility"], [one.queue_arn for one in waiting]),
                row_permissions.record_deliveries(alerts.table, "slack", threads=bool(defaults.settings.slack_channel)),
                permissions.allow("ReadSecret", ["secretsmanager:GetSecretValue"], [self.secret.ref]),
                permissions.allow("DecryptSecret", ["kms:Decrypt"], [key.key_arn], via="secretsmanager"),
            ],
            effect="SQS redelivers the notifications; they reach Slack late. E-mail is not affected.",
        )
        # Slack accepts one message a second; Lambda offers no concurrency below 2.
        for one in (queue, others):
            one.feed(function.resource, batch_size=10, max_concurrency=2)
        level = defaults.settings.slack_level
        rest = self._subscribe(others, alerts, with_another_mail_key(level, alerts.mail_key))
        own = self._subscribe(queue, alerts, with_mail_key(level, alerts.mail_key))
        own.node.add_dependency(publishers, rest)

    def _subscribe(self, queue: Queue, alerts: Alerts, policy: Filter) -> sns.Subscription:
        return alerts.topic.add_subscription(
            subscriptions.SqsSubscription(
                queue.waiting, raw_message_delivery=True, filter_policy=policy, dead_letter_queue=alerts.undelivered
            )
        )

    def _secret(self, key: kms.Key) -> secretsmanager.CfnSecret:
        """Make a secret without a value, which a person sets: a template must never contain it."""
        secret = secretsmanager.CfnSecret(
            self,
            "Secret",
            description="Slack's webhook URL, or with slack_channel its bot token; put it here after the deployment",
            kms_key_id=key.key_arn,
        )
        secret.apply_removal_policy(RemovalPolicy.DESTROY)
        reason = (
            "Slack offers no API to rotate a webhook or a bot token. Only the function notify may read the secret, and "
            "an alarm fires when it stops working."
        )
        permissions.acknowledge(secret, "SMG4", reason)
        return secret
