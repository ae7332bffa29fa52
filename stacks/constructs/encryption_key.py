"""A KMS key of the deployment's own."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from constructs import Construct


class EncryptionKey(kms.Key):
    """A key that rotates every year and outlives its stack: without it, what it encrypts is lost.

    Args:
        scope: The construct that holds the key.
        construct_id: The id within `scope`.
        description: What the key encrypts.
    """

    def __init__(self, scope: Construct, construct_id: str, *, description: str) -> None:
        super().__init__(
            scope,
            construct_id,
            description=description,
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=RemovalPolicy.RETAIN,
        )
