"""Stack `alerting`: the stream of frames, the functions that evaluate it, and the notification of people."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Stack
from constructs import Construct, DependencyGroup, IDependable

from stacks.archive import ArchiveStack
from stacks.constructs.alarms import Alarms
from stacks.constructs.alerts import Alerts
from stacks.constructs.alerts_history import AlertsHistory
from stacks.constructs.digest import Digest
from stacks.constructs.email import EmailNotifications
from stacks.constructs.encryption_key import EncryptionKey
from stacks.constructs.evaluation import Evaluation
from stacks.constructs.frame_stream import FrameStream
from stacks.constructs.function import FunctionDefaults, function_code
from stacks.constructs.loss_alarms import watch_losses
from stacks.constructs.operations_topic import OperationsTopic
from stacks.constructs.recipients import warn_if_nobody_is_notified
from stacks.constructs.reconciliation import Reconciliation
from stacks.constructs.silenced_rules import warn_of_silenced_rules
from stacks.constructs.slack import SlackNotifications
from stacks.constructs.sweep import Sweep
from vaultwatch.settings import Settings


class AlertingStack(Stack):
    """Evaluates frames and notifies people. Except for the alerts, all its data could be rebuilt from the archive.

    Args:
        scope: The app.
        construct_id: The name of the stack.
        settings: The settings of the deployment.
        archive: The stack that holds the buckets.
        kwargs: Further arguments of `Stack`.

    Attributes:
        stream: The stream of frames.
        topic: The topic of the alerts.
        key: The key that encrypts both.
        operations: The topic of the alarms.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, archive: ArchiveStack, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        warn_if_nobody_is_notified(self, settings)
        warn_of_silenced_rules(self, settings)
        code = function_code(self, settings)
        self.key = EncryptionKey(self, "Key", description="Encrypts Vault's log lines and alerts in transit")
        self.stream = FrameStream(self, "Stream", settings=settings, key=self.key)
        # A key of its own: the alarms must still be sent if the other key is disabled.
        operations_key = EncryptionKey(self, "OperationsKey", description="Encrypts the alarms about Vaultwatch itself")
        self.operations = OperationsTopic(self, "Operations", key=operations_key, emails=settings.operations_emails)
        alarms = Alarms(self, "Alarms", deployment=settings.deployment, topic=self.operations)
        history = AlertsHistory(
            self, "History", settings=settings, bucket=archive.alerts, key=archive.key, alarms=alarms
        )
        self._alerts = Alerts(self, "Alerts", settings=settings, key=self.key, history=history, archive=archive.archive)
        self.topic = self._alerts.topic
        alarms.watch_topic(self._alerts.topic, undelivered=self._alerts.undelivered)
        watch_losses(alarms, sinks=frozenset({"slack"} if settings.slack else ()))
        defaults = FunctionDefaults(settings=settings, code=code, alarms=alarms)
        publishers = self._add_functions(defaults, archive)
        self._add_subscribers(defaults, publishers)
        self._output("StreamName", self.stream.stream_name, "The stream for `vaultwatch ship --stream`")
        self._output("AlertsTopicArn", self._alerts.topic.topic_arn, "The topic to which every alert is published")

    def _add_functions(self, defaults: FunctionDefaults, archive: ArchiveStack) -> IDependable:
        """Add the functions, and return those that store and publish alerts."""
        evaluation = Evaluation(
            self,
            "Evaluation",
            defaults=defaults,
            alerts=self._alerts,
            stream=self.stream,
            stream_key=self.key,
            bucket=archive.alerts,
            bucket_key=archive.key,
        )
        digest = Digest(self, "Digest", defaults=defaults, alerts=self._alerts)
        sweep = Sweep(
            self,
            "Sweep",
            defaults=defaults,
            alerts=self._alerts,
            archive=archive.archive,
            parked=archive.alerts,
            key=archive.key,
            stream=self.stream,
            stream_key=self.key,
        )

        if defaults.settings.reconcile:
            Reconciliation(self, "Reconciliation", defaults=defaults, archive=archive.archive, key=archive.key)
        return DependencyGroup(evaluation, digest, sweep)

    def _add_subscribers(self, defaults: FunctionDefaults, publishers: IDependable) -> None:
        settings = defaults.settings
        EmailNotifications(
            self,
            "Email",
            alerts=self._alerts,
            addresses=settings.alert_emails,
            level=settings.alert_email_level,
            publishers=publishers,
            alarms=defaults.alarms,
        )
        if settings.slack:
            slack = SlackNotifications(
                self, "Slack", defaults=defaults, alerts=self._alerts, key=self.key, publishers=publishers
            )
            self._output("SlackSecretArn", slack.secret.ref, "The secret with Slack's webhook URL or bot token")
            command = "aws secretsmanager put-secret-value --secret-string file://webhook --secret-id"
            text = "Puts the webhook URL or bot token in the file `webhook` into the secret (docs/deploy.md, 4)"
            self._output("SetSlackWebhook", f"{command} {slack.secret.ref}", text)

    def _output(self, name: str, value: str, description: str) -> None:
        CfnOutput(self, name, value=value, description=description)
