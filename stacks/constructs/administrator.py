"""The IAM role as which the first administrator logs in to Vault."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.constructs.host import role_name
from stacks.constructs.permissions import allow
from vaultwatch.settings import Settings

ADMINISTRATOR = "administrator"
"""What the name of the role ends with."""


class Administrator(Construct):
    """A role for people of this account whose own policies let them assume it.

    It may read the recovery keys, which raises an alarm, and nothing else in AWS: what it may do in Vault is decided by
    Vault's policy `administrator`.

    Args:
        scope: The construct that holds the role.
        construct_id: The id within `scope`.
        settings: The settings of the deployment.
        secrets: The ARNs of the secrets.
        key: The key that encrypts them.

    Attributes:
        role: The role.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, secrets: Sequence[str], key: kms.IKey
    ) -> None:
        super().__init__(scope, construct_id)
        statements = [
            allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets),
            allow("DecryptSecret", ["kms:Decrypt"], [key.key_arn], via="secretsmanager"),
        ]
        self.role = iam.Role(
            self,
            "Role",
            role_name=role_name(settings, ADMINISTRATOR),
            assumed_by=iam.AccountRootPrincipal(),
            description="Administrators of Vault log in as this role",
            max_session_duration=Duration.hours(1),
            inline_policies={"Allowed": iam.PolicyDocument(statements=statements)},
        )

    @property
    def resolve(self) -> iam.PolicyStatement:
        """What Vault's AWS auth method needs to find the unique id of the role, which a new role would not have."""
        return allow("ResolveAdministrator", ["iam:GetRole"], [self.role.role_arn])
