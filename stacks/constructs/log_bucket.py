"""A bucket for log lines and alerts: encrypted, versioned, private, with access logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct


class LogBucket(s3.Bucket):
    """A bucket that a KMS key encrypts and whose new objects EventBridge announces.

    Args:
        scope: The construct that holds the bucket.
        construct_id: The id within `scope`; its access logs are below this, in lower case.
        key: The key that encrypts the objects.
        access_logs: The bucket of the access logs.
        lifecycle_rules: How long objects are kept, and where.
        lock: How Object Lock protects each object, and for how long; without it the bucket has no Object Lock.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        access_logs: s3.IBucket,
        lifecycle_rules: Sequence[s3.LifecycleRule],
        lock: s3.ObjectLockRetention | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            removal_policy=RemovalPolicy.RETAIN,
            lifecycle_rules=list(lifecycle_rules),
            object_lock_default_retention=lock,
        )
        # CloudFormation's own property: the construct's `event_bridge_enabled` would add a function of the CDK.
        resource = cast(s3.CfnBucket, self.node.default_child)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )


class AccessLogsBucket(s3.Bucket):
    """A bucket for the access logs of other buckets.

    S3 delivers access logs to no bucket that a KMS key encrypts by default, and to none with Object Lock.

    Args:
        scope: The construct that holds the bucket.
        construct_id: The id within `scope`.
        keep: How long access logs are kept.
    """

    def __init__(self, scope: Construct, construct_id: str, *, keep: Duration) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(id="Expire", expiration=keep, noncurrent_version_expiration=Duration.days(1)),
                clean_up(),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )


def clean_up() -> s3.LifecycleRule:
    """Remove the remains of aborted uploads and of expired objects."""
    return s3.LifecycleRule(
        id="CleanUp", abort_incomplete_multipart_upload_after=Duration.days(7), expired_object_delete_marker=True
    )
