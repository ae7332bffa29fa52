"""The stream on which the log server puts its frames."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.constructs import permissions
from vaultwatch.settings import Settings


class FrameStream(kinesis.Stream):
    """A provisioned, encrypted Kinesis stream.

    It may be deleted with its stack: the archive has every line of it.

    Args:
        scope: The construct that holds the stream.
        construct_id: The id within `scope`.
        settings: The number of shards, and how long they keep frames.
        key: The key that encrypts the frames.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            stream_mode=kinesis.StreamMode.PROVISIONED,
            shard_count=settings.stream_shards,
            retention_period=Duration.days(settings.stream_retention_days),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        reason = "A customer managed key encrypts it; the key rotates, and every reader needs a permission on it too."
        permissions.acknowledge(self, "KDS3", reason)
