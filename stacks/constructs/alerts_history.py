"""The history of all alerts, whether or not anybody was notified, below `alerts/` in S3."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.constructs import permissions
from stacks.constructs.alarms import Alarms
from stacks.constructs.function import log_group, service_role
from vaultwatch.aws import keys
from vaultwatch.settings import Settings

_Delivery = firehose.CfnDeliveryStream


class AlertsHistory(Construct):
    """A Firehose that buffers for five minutes or 5 MiB and writes gzip, one SNS message per line.

    The functions put the alerts that notify nobody into it themselves, in lines of the same format. Raw message
    delivery is off: only then does SNS write a line break after each message (SNS guide, "message format in S3"), and
    the attribute `disposition` with it.

    Args:
        scope: The construct that holds the history.
        construct_id: The id within `scope`.
        settings: How long Firehose's own log is kept.
        bucket: The bucket to write to.
        key: The key that encrypts the bucket.
        alarms: Where the alarms of the delivery are added.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        bucket: s3.Bucket,
        key: kms.IKey,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        group = log_group(self, "Logs", settings)
        role = service_role(self, "firehose", "the delivery of alerts to S3", _statements(bucket, key, group))
        reason = "Firehose names its objects itself; it may read and write below this prefix only, and delete nothing."
        permissions.acknowledge_prefixes(role, bucket, [keys.ALERTS], reason)
        self._delivery = _Delivery(
            self,
            "Delivery",
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=_Delivery.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="AWS_OWNED_CMK"
            ),
            extended_s3_destination_configuration=self._destination(bucket, key, role, group),
        )
        alarms.watch_delivery(self._delivery)

    @property
    def stream_name(self) -> str:
        """The name of the delivery stream."""
        return self._delivery.ref

    @property
    def statement(self) -> iam.PolicyStatement:
        """The permission of a function that puts alerts into the delivery stream."""
        return permissions.allow("KeepHistory", ["firehose:PutRecordBatch"], [self._delivery.attr_arn])

    def subscribe(self, topic: sns.Topic, *, undelivered: sqs.IQueue) -> None:
        """Let a topic send every message to the delivery stream, and to this queue what it cannot deliver."""
        arn = self._delivery.attr_arn
        put = permissions.allow("Put", ["firehose:PutRecord", "firehose:PutRecordBatch"], [arn])
        role = service_role(Construct(self, "Feed"), "sns", "the alerts topic", [put])
        sns.CfnSubscription(
            self,
            "Subscription",
            topic_arn=topic.topic_arn,
            protocol="firehose",
            endpoint=arn,
            subscription_role_arn=role.role_arn,
            redrive_policy={"deadLetterTargetArn": undelivered.queue_arn},
        )

    def _destination(
        self, bucket: s3.Bucket, key: kms.IKey, role: iam.Role, group: logs.LogGroup
    ) -> firehose.CfnDeliveryStream.ExtendedS3DestinationConfigurationProperty:
        stream = logs.LogStream(self, "Log", log_group=group, removal_policy=RemovalPolicy.DESTROY)
        return _Delivery.ExtendedS3DestinationConfigurationProperty(
            bucket_arn=bucket.bucket_arn,
            role_arn=role.role_arn,
            prefix=keys.DELIVERED_ALERTS,
            error_output_prefix=keys.FAILED_ALERTS,
            buffering_hints=_Delivery.BufferingHintsProperty(interval_in_seconds=300, size_in_m_bs=5),
            compression_format="GZIP",
            encryption_configuration=_Delivery.EncryptionConfigurationProperty(
                kms_encryption_config=_Delivery.KMSEncryptionConfigProperty(awskms_key_arn=key.key_arn)
            ),
            cloud_watch_logging_options=_Delivery.CloudWatchLoggingOptionsProperty(
                enabled=True, log_group_name=group.log_group_name, log_stream_name=stream.log_stream_name
            ),
        )


def _statements(bucket: s3.Bucket, key: kms.IKey, group: logs.LogGroup) -> Sequence[iam.PolicyStatement]:
    """Return the permissions from the Firehose guide ("Grant Firehose access to an Amazon S3 destination")."""
    objects = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    listing = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    return [
        permissions.allow("WriteAlerts", objects, [bucket.arn_for_objects(f"{keys.ALERTS}*")]),
        permissions.allow("FindBucket", listing, [bucket.bucket_arn]),
        permissions.encrypt_objects(key),
        permissions.decrypt_objects(key),
        permissions.allow("WriteLogs", ["logs:PutLogEvents"], [group.log_group_arn]),
    ]
