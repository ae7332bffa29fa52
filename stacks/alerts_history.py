"""Every alert, told or not, on its way from the topic to `alerts/` in S3."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks import permissions as may
from stacks.archive import ArchiveStack
from stacks.functions import make_log_group, make_role
from vaultwatch.aws import keys as prefixes
from vaultwatch.settings import Settings

_Destination = firehose.CfnDeliveryStream


class AlertsHistory(Construct):
    """A Firehose that gathers for five minutes or 5 MiB and writes gzip, one SNS notification a line.

    Delivery is not raw: SNS promises a line break after each notification only so (SNS guide, message format in S3),
    and only the notification carries the attribute `tell`.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, archive: ArchiveStack) -> None:
        super().__init__(scope, construct_id)
        self._archive = archive
        self._group = make_log_group(self, "Logs", settings)
        self._log = logs.LogStream(self, "Log", log_group=self._group, removal_policy=RemovalPolicy.DESTROY)
        self.delivery = firehose.CfnDeliveryStream(
            self,
            "Delivery",
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=_Destination.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="AWS_OWNED_CMK"
            ),
            extended_s3_destination_configuration=self._destination(),
        )

    def subscribe(self, topic: sns.Topic) -> None:
        """Let the topic put all its messages here."""
        actions = ["firehose:PutRecord", "firehose:PutRecordBatch"]
        feeding = may.allow("Put", actions, [self.delivery.attr_arn])
        role = make_role(Construct(self, "Feed"), "sns", "the alerts topic", [feeding])
        sns.CfnSubscription(
            self,
            "Subscription",
            topic_arn=topic.topic_arn,
            protocol="firehose",
            endpoint=self.delivery.attr_arn,
            subscription_role_arn=role.role_arn,
        )

    def _destination(self) -> firehose.CfnDeliveryStream.ExtendedS3DestinationConfigurationProperty:
        bucket, key = self._archive.alerts, self._archive.key
        # As in the Firehose guide ("Grant Firehose access to an Amazon S3 destination"), below one folder.
        objects = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        statements = [
            may.allow("WriteAlerts", objects, [bucket.arn_for_objects(f"{prefixes.ALERTS}*")]),
            may.allow(
                "FindBucket",
                ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                [bucket.bucket_arn],
            ),
            may.encrypt_objects(key),
            may.decrypt_objects(key),
            may.allow("WriteLogs", ["logs:PutLogEvents"], [self._group.log_group_arn]),
        ]
        role = make_role(self, "firehose", "the delivery of alerts to S3", statements)
        reason = "Firehose names its objects itself; it may read and write below this folder only, and delete nothing."
        may.acknowledge_folders(role, bucket, [prefixes.ALERTS], reason)
        return _Destination.ExtendedS3DestinationConfigurationProperty(
            bucket_arn=bucket.bucket_arn,
            role_arn=role.role_arn,
            prefix=prefixes.ALERTS + "dt=!{timestamp:yyyy-MM-dd}/",
            error_output_prefix=prefixes.ALERTS + "failed=!{firehose:error-output-type}/",
            buffering_hints=_Destination.BufferingHintsProperty(interval_in_seconds=300, size_in_m_bs=5),
            compression_format="GZIP",
            encryption_configuration=_Destination.EncryptionConfigurationProperty(
                kms_encryption_config=_Destination.KMSEncryptionConfigProperty(awskms_key_arn=key.key_arn)
            ),
            cloud_watch_logging_options=_Destination.CloudWatchLoggingOptionsProperty(
                enabled=True, log_group_name=self._group.log_group_name, log_stream_name=self._log.log_stream_name
            ),
        )
