"""Stack `archive`: the data that outlives all other stacks: log lines under Object Lock, and alerts."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.constructs.encryption_key import EncryptionKey
from stacks.constructs.log_bucket import AccessLogsBucket, LogBucket, clean_up
from vaultwatch.aws import keys
from vaultwatch.host_settings import has_nodes
from vaultwatch.settings import Settings


class ArchiveStack(Stack):
    """The archive bucket, the alerts bucket, that of Vault's snapshots, the bucket of their access logs, and their key.

    The alerts bucket has no Object Lock: Firehose and Lambda's on-failure destination write to it, and a locked bucket
    refuses an upload without a checksum. No documentation says that these two services send one.

    Args:
        scope: The app.
        construct_id: The name of the stack.
        settings: The settings of the deployment.
        kwargs: Further arguments of `Stack`.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        self.key = EncryptionKey(self, "Key", description="Encrypts the archive of Vault's logs")
        access_logs = AccessLogsBucket(self, "AccessLogs", keep=Duration.days(settings.archive_expiry_days))
        self.archive = LogBucket(
            self,
            "Archive",
            key=self.key,
            access_logs=access_logs,
            lifecycle_rules=_archive_rules(settings),
            lock=_lock(settings, settings.archive_retention_days),
        )
        _protect(self.archive)
        self.alerts = LogBucket(
            self, "Alerts", key=self.key, access_logs=access_logs, lifecycle_rules=_alerts_rules(settings)
        )
        self.snapshots = self._snapshot_bucket(settings, access_logs) if has_nodes(settings) else None
        self._output("ArchiveBucketName", self.archive, "The bucket of every log line")
        self._output("AlertsBucketName", self.alerts, "The bucket of alerts, parked frames and rejected lines")

    def _snapshot_bucket(self, settings: Settings, access_logs: s3.IBucket) -> LogBucket:
        """Make the bucket of the snapshots of Vault's storage: each is locked until it expires."""
        days = settings.snapshot_retention_days
        expire = s3.LifecycleRule(
            id="Age", expiration=Duration.days(days), noncurrent_version_expiration=Duration.days(1)
        )
        bucket = LogBucket(
            self,
            "Snapshots",
            key=self.key,
            access_logs=access_logs,
            lifecycle_rules=[expire, clean_up()],
            lock=_lock(settings, days),
        )
        _protect(bucket)
        self._output("SnapshotsBucketName", bucket, "The bucket of the snapshots of Vault's storage")
        return bucket

    def _output(self, name: str, bucket: s3.Bucket, description: str) -> None:
        CfnOutput(self, name, value=bucket.bucket_name, description=description)


def _lock(settings: Settings, days: int) -> s3.ObjectLockRetention:
    modes = {"GOVERNANCE": s3.ObjectLockRetention.governance, "COMPLIANCE": s3.ObjectLockRetention.compliance}
    return modes[settings.object_lock_mode](Duration.days(days))


def _protect(bucket: s3.Bucket) -> None:
    """Let nobody bypass the locks of a bucket's objects, or put another version over one."""
    for statement in (_keep_locks(bucket), _never_replace(bucket)):
        bucket.add_to_resource_policy(statement)


def _never_replace(bucket: s3.Bucket) -> iam.PolicyStatement:
    """Deny writes without `If-None-Match`, which S3 refuses if the key exists.

    Source: S3 user guide, "Enforce conditional writes on Amazon S3 buckets". The second condition exempts the parts of
    an upload in parts, which take no such header: its last request needs it.
    """
    return iam.PolicyStatement(
        sid="NeverReplace",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:PutObject"],
        resources=[bucket.arn_for_objects("*")],
        conditions={"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    )


def _keep_locks(bucket: s3.Bucket) -> iam.PolicyStatement:
    """Deny everybody to bypass a lock in governance mode; AmazonS3FullAccess, for example, allows it."""
    return iam.PolicyStatement(
        sid="KeepLocks",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:BypassGovernanceRetention"],
        resources=[bucket.arn_for_objects("*")],
    )


def _archive_rules(settings: Settings) -> list[s3.LifecycleRule]:
    def after(storage_class: s3.StorageClass, days: int) -> s3.Transition:
        return s3.Transition(storage_class=storage_class, transition_after=Duration.days(days))

    age = s3.LifecycleRule(
        id="Age",
        transitions=[
            after(s3.StorageClass.INFREQUENT_ACCESS, settings.archive_infrequent_access_days),
            after(s3.StorageClass.GLACIER, settings.archive_glacier_days),
        ],
        expiration=Duration.days(settings.archive_expiry_days),
        # Expiry only hides a version; this deletes it, but never before its lock ends.
        noncurrent_version_expiration=Duration.days(1),
    )
    return [age, clean_up()]


def _alerts_rules(settings: Settings) -> list[s3.LifecycleRule]:
    """Keep alerts as long as the archive, and copies of archived lines as long as alerts are remembered."""
    kept = {"Alerts": (keys.ALERTS, settings.archive_expiry_days)}
    copies = {"Oversize": keys.OVERSIZE, "Parked": keys.PARKED, "Discarded": keys.DISCARDED, "Rejected": keys.REJECTED}
    for name, prefix in copies.items():
        kept[name] = (prefix, settings.alert_memory_days)
    rules = [
        s3.LifecycleRule(id=name, prefix=prefix, expiration=Duration.days(days))
        for name, (prefix, days) in kept.items()
    ]
    replaced = s3.LifecycleRule(id="Replaced", noncurrent_version_expiration=Duration.days(settings.alert_memory_days))
    return [*rules, replaced, clean_up()]
