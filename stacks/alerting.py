"""Stack `alerting`: the stream of frames, the functions that evaluate it, and the way of an alert to people."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.alarms import Alarms
from stacks.alerts_history import AlertsHistory
from stacks.archive import ArchiveStack
from stacks.evaluation import INDEXES, Surroundings, add_digest, add_evaluate, add_sweep
from stacks.functions import make_code
from stacks.permissions import acknowledge
from stacks.telling import add_email, add_slack
from vaultwatch.settings import Settings


class AlertingStack(Stack):
    """Frames in, alerts out. All it keeps could be had again from the archive, but for the table."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, archive: ArchiveStack, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        code = make_code(self, settings)
        self.key = self._key()
        self.stream = self._stream(settings)
        self.table = self._table()
        self.alerts = sns.Topic(self, "Alerts", master_key=self.key, enforce_ssl=True)
        self.operations = self._operations(settings)
        alarms = Alarms(self, "Alarms", topic=self.operations)

        around = Surroundings(
            settings=settings,
            archive=archive,
            code=code,
            alarms=alarms,
            key=self.key,
            stream=self.stream,
            table=self.table,
            topic=self.alerts,
        )
        add_evaluate(self, around)
        add_digest(self, around)
        add_sweep(self, around)
        add_email(self.alerts, settings)
        if settings.slack:
            add_slack(self, self.alerts, key=self.key, table=self.table, code=code, settings=settings, alarms=alarms)
        history = AlertsHistory(self, "History", settings=settings, archive=archive)
        history.subscribe(self.alerts)
        alarms.watch_delivery(self.alerts, history.delivery)
        CfnOutput(self, "StreamName", value=self.stream.stream_name, description="ship --stream")
        CfnOutput(self, "AlertsTopicArn", value=self.alerts.topic_arn, description="every alert is published here")

    def _key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description="Encrypts Vault's logs and alerts on their way",
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=RemovalPolicy.RETAIN,
        )
        key.add_to_resource_policy(
            _from_alarms("AlarmsEncrypt", actions=["kms:Decrypt", "kms:GenerateDataKey*"], resources=["*"])
        )
        return key

    def _stream(self, settings: Settings) -> kinesis.Stream:
        stream = kinesis.Stream(
            self,
            "Stream",
            stream_mode=kinesis.StreamMode.PROVISIONED,
            shard_count=settings.stream_shards,
            retention_period=Duration.days(settings.stream_retention_days),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=self.key,
            removal_policy=RemovalPolicy.DESTROY,  # the archive has every line of it
        )
        reason = (
            "Encrypted with a key of our own, which rotates, and to which whoever reads frames needs a right besides."
        )
        acknowledge(stream, "KDS3", reason)
        return stream

    def _table(self) -> dynamodb.Table:
        def text(name: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

        table = dynamodb.Table(
            self,
            "Table",
            partition_key=text("pk"),
            sort_key=text("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            # With a key of our own every function would need that key's rights to all of DynamoDB besides.
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        for name, (partition, sort) in INDEXES.items():
            order = dynamodb.Attribute(name=sort, type=dynamodb.AttributeType.NUMBER)
            table.add_global_secondary_index(index_name=name, partition_key=text(partition), sort_key=order)
        return table

    def _operations(self, settings: Settings) -> sns.Topic:
        topic = sns.Topic(self, "Operations", master_key=self.key, enforce_ssl=True)
        # A topic with a policy of its own has lost the default one, by which its account's alarms may publish.
        topic.add_to_resource_policy(
            _from_alarms("AlarmsPublish", actions=["sns:Publish"], resources=[topic.topic_arn])
        )
        for address in settings.operations_emails:
            topic.add_subscription(subscriptions.EmailSubscription(address))
        return topic


def _from_alarms(sid: str, *, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    """Let CloudWatch's alarms of this account do this."""
    return iam.PolicyStatement(
        sid=sid,
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=actions,
        resources=resources,
        conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
    )
