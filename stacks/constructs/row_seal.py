"""The key with which functions name and seal rows of the alerts table, and seal notifications (`vaultwatch.seals`)."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.constructs import permissions


class RowSeal(Construct):
    """A secret that AWS generates, and that CloudFormation writes into the environment of functions.

    No role of the deployment may read it, or the configuration of a function: whoever has the credential of a function
    and runs no code in it can neither name nor seal rows. Templates contain a reference to it only.

    Args:
        scope: The construct that holds the key.
        construct_id: The id within `scope`.
        key: The KMS key that encrypts the secret.

    Attributes:
        environment: The variable of a function that seals rows.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        # A change of what is generated makes a new key, and rows that are sealed with the old one are ignored.
        generated = secretsmanager.CfnSecret.GenerateSecretStringProperty(password_length=64, exclude_punctuation=True)
        secret = secretsmanager.CfnSecret(
            self,
            "Key",
            description="Names and seals the rows of the alerts table; with another key, functions ignore all rows",
            generate_secret_string=generated,
            kms_key_id=key.key_arn,
        )
        secret.apply_removal_policy(RemovalPolicy.DESTROY)
        reason = (
            "With another key, functions would ignore all rows of the alerts table once. No role may read the secret, "
            "and whoever has read it also needs the credential of a function to forge a row."
        )
        permissions.acknowledge(secret, "SMG4", reason)
        self.environment = {"ROW_SEAL_KEY": f"{{{{resolve:secretsmanager:{secret.ref}:SecretString}}}}"}
