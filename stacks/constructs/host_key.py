"""The key that encrypts the disks of hosts."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.constructs.encryption_key import EncryptionKey

_SERVICE_ROLE = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


class HostKey(EncryptionKey):
    """A key with which EC2 Auto Scaling may start instances, whose root volumes it encrypts.

    Auto Scaling acts as its service-linked role, which a new account gets with its first group. KMS refuses a policy
    that names a principal that does not exist yet, so the policy names it in a condition.

    Args:
        scope: The construct that holds the key.
        construct_id: The id within `scope`.
        description: What the key encrypts.
    """

    def __init__(self, scope: Construct, construct_id: str, *, description: str) -> None:
        super().__init__(scope, construct_id, description=description)
        role = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{_SERVICE_ROLE}"
        use = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"]
        self.add_to_resource_policy(_allow("StartInstances", use, {"StringEquals": {"aws:PrincipalArn": role}}))
        lend = {"StringEquals": {"aws:PrincipalArn": role}, "Bool": {"kms:GrantIsForAWSResource": "true"}}
        self.add_to_resource_policy(_allow("LendToInstances", ["kms:CreateGrant"], lend))


def _allow(sid: str, actions: list[str], conditions: dict[str, dict[str, str]]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid, principals=[iam.AnyPrincipal()], actions=actions, resources=["*"], conditions=conditions
    )
