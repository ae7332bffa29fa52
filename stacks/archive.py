"""Stack `archive`: what must outlive everything else. Every log line under Object Lock, and what evaluation leaves."""

from __future__ import annotations

from typing import Any, cast

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from vaultwatch.aws import keys as prefixes
from vaultwatch.settings import Settings


class ArchiveStack(Stack):
    """The archive bucket, the alerts bucket, the bucket of their access logs, and the key of the first two.

    The alerts bucket has no Object Lock: AWS services write into it (Firehose, Lambda's on-failure destination), and a
    locked bucket refuses every upload without a checksum, which nobody promises of them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        self.key = kms.Key(
            self,
            "Key",
            description="Encrypts the archive of Vault's logs",
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.access_logs = self._access_logs(settings)
        self.bucket = self._bucket(
            "Archive",
            lifecycle_rules=[_aging(settings), _tidying()],
            object_lock_default_retention=s3.ObjectLockRetention.governance(
                Duration.days(settings.archive_retention_days)
            ),
        )
        self.alerts = self._bucket("Alerts", lifecycle_rules=_alerts_rules(settings))
        CfnOutput(self, "ArchiveBucketName", value=self.bucket.bucket_name, description="every log line")
        CfnOutput(self, "AlertsBucketName", value=self.alerts.bucket_name, description="alerts, parked frames")

    def _access_logs(self, settings: Settings) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            # S3 delivers access logs to no bucket whose default is a KMS key, and to none with Object Lock.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire",
                    expiration=Duration.days(settings.archive_expiry_days),
                    noncurrent_version_expiration=Duration.days(1),
                ),
                _tidying(),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )

    def _bucket(self, name: str, **kwargs: Any) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            name,
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            removal_policy=RemovalPolicy.RETAIN,
            **kwargs,
        )
        # CloudFormation's own property; the construct's `event_bridge_enabled` would add a function of CDK's for it.
        resource = cast(s3.CfnBucket, bucket.node.default_child)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        return bucket


def _aging(settings: Settings) -> s3.LifecycleRule:
    def after(storage_class: s3.StorageClass, days: int) -> s3.Transition:
        return s3.Transition(storage_class=storage_class, transition_after=Duration.days(days))

    return s3.LifecycleRule(
        id="Age",
        transitions=[
            after(s3.StorageClass.INFREQUENT_ACCESS, settings.archive_infrequent_access_days),
            after(s3.StorageClass.GLACIER, settings.archive_glacier_days),
        ],
        expiration=Duration.days(settings.archive_expiry_days),
        # Expiry only hides a version; this deletes it, and not before its lock ends, whatever stands here.
        noncurrent_version_expiration=Duration.days(1),
    )


def _alerts_rules(settings: Settings) -> list[s3.LifecycleRule]:
    """Alerts are kept as long as the archive; lines and frames of which the archive has its own copy, as the memory."""
    kept = {"Alerts": (prefixes.ALERTS, settings.archive_expiry_days)}
    copies = {"Oversize": prefixes.OVERSIZE, "Parked": prefixes.PARKED, "Discarded": prefixes.DISCARDED}
    for name, prefix in {**copies, "Rejected": prefixes.REJECTED}.items():
        kept[name] = (prefix, settings.alert_memory_days)
    rules = [
        s3.LifecycleRule(id=name, prefix=prefix, expiration=Duration.days(days))
        for name, (prefix, days) in kept.items()
    ]
    replaced = s3.LifecycleRule(id="Replaced", noncurrent_version_expiration=Duration.days(settings.alert_memory_days))
    return [*rules, replaced, _tidying()]


def _tidying() -> s3.LifecycleRule:
    """What an upload that broke off and an expired object's last version leave behind."""
    return s3.LifecycleRule(
        id="Tidy", abort_incomplete_multipart_upload_after=Duration.days(7), expired_object_delete_marker=True
    )
