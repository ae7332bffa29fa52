"""Keys that functions get in their environment: nobody sets them, and no template contains them."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.constructs import permissions


class GeneratedKey(Construct):
    """A secret that AWS generates, and that CloudFormation writes into a property that refers to it.

    A property of any resource may refer to a secret, and neither CloudFormation's logs nor those of Secrets Manager
    contain the value. CloudFormation reads it only when it makes or changes the resource (CloudFormation user guide,
    "Get a secret or secret value from Secrets Manager").

    No role of the deployment may read the secret, or the configuration of a function: whoever has the credential of a
    function and runs no code in it does not know the key.

    Args:
        scope: The construct that holds the key.
        construct_id: The id within `scope`.
        key: The KMS key that encrypts the secret.
        description: What the key is for.
        reason: Why it is not rotated.

    Attributes:
        reference: The reference that CloudFormation replaces by the key.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey, description: str, reason: str) -> None:
        super().__init__(scope, construct_id)
        # A change of what is generated makes a new key.
        generated = secretsmanager.CfnSecret.GenerateSecretStringProperty(password_length=64, exclude_punctuation=True)
        secret = secretsmanager.CfnSecret(
            self,
            "Key",
            description=description,
            generate_secret_string=generated,
            kms_key_id=key.key_arn,
        )
        secret.apply_removal_policy(RemovalPolicy.DESTROY)
        permissions.acknowledge(secret, "SMG4", reason)
        self.reference = f"{{{{resolve:secretsmanager:{secret.ref}:SecretString}}}}"
