"""The alerts: the table that stores them, the topic on which they are published, and the permissions for all of it."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alerts_history import AlertsHistory
from stacks.constructs.alerts_table import AlertsTable
from stacks.constructs.generated_key import GeneratedKey
from stacks.constructs.queue import encrypted_queue
from vaultwatch.settings import Settings


class Alerts(Construct):
    """The table and the topic of alerts, and the dead-letter queue of the topic's queue and Firehose subscriptions.

    Args:
        scope: The construct that holds them.
        construct_id: The id within `scope`.
        settings: How long alerts are remembered, and the time zone of notifications.
        key: The KMS key that encrypts what is published, and the keys of functions.
        history: The history, which gets every alert.
        archive: The archive bucket, where people find the entries of an alert.

    Attributes:
        mail_key: The reference to the key by which e-mail subscriptions know what the functions have published.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        key: kms.Key,
        history: AlertsHistory,
        archive: s3.IBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._key = key
        self._history = history
        self._archive = archive
        self.table = AlertsTable(self, "Table")
        self._row_seal = GeneratedKey(
            self,
            "RowSeal",
            key=key,
            description="Names and seals the rows of the alerts table; with another key, functions ignore all rows",
            reason="With another key, functions would ignore all rows of the alerts table once. No role may read the "
            "secret, and whoever has read it also needs the credential of a function to forge a row.",
        )
        self.mail_key = GeneratedKey(
            self,
            "MailKey",
            key=key,
            description="E-mail subscriptions let only notifications with this key through",
            reason="With another key, no e-mail would be sent until the subscriptions have it, too. No role may read "
            "the secret, and whoever has read it also needs the credential of a function to publish.",
        ).reference
        self.topic = sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        self.undelivered = encrypted_queue(self, "Undelivered")
        self.undelivered.add_to_resource_policy(self._send_undelivered())
        reason = "It is the dead-letter queue of the topic's subscriptions, and an alarm fires on its first message."
        permissions.acknowledge(self.undelivered, "SQS3", reason)
        history.subscribe(self.topic, undelivered=self.undelivered)

    def _send_undelivered(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            principals=[iam.ServicePrincipal("sns.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[self.undelivered.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
        )

    @property
    def audience(self) -> dict[str, str]:
        """The variables of a function that writes texts for people."""
        return {"ARCHIVE_BUCKET_NAME": self._archive.bucket_name, "TIMEZONE": self._settings.timezone}

    @property
    def sealing(self) -> dict[str, str]:
        """The variable of a function that names, seals or judges rows."""
        return {"ROW_SEAL_KEY": self._row_seal.reference}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a function that stores and publishes alerts."""
        return {
            **self.audience,
            "ALERT_MEMORY_DAYS": str(self._settings.alert_memory_days),
            "HISTORY_STREAM_NAME": self._history.stream_name,
            "MAIL_KEY": self.mail_key,
            "TABLE_NAME": self.table.table_name,
            "TOPIC_ARN": self.topic.topic_arn,
            **self.sealing,
        }

    @property
    def publishing(self) -> list[iam.PolicyStatement]:
        """The permissions of a function that publishes alerts."""
        return [*permissions.publish(self.topic, self._key), self._history.statement]

    @property
    def storing(self) -> list[iam.PolicyStatement]:
        """The permissions of a function that stores and publishes alerts."""
        return [*row_permissions.store_alerts(self.table), *self.publishing]
