"""The secrets that the bootstrap of a cluster writes: recovery keys, and the password of OpenBao's administrator."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Fn, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.constructs.alarms import Alarms
from stacks.constructs.permissions import acknowledge, allow
from stacks.constructs.watched_calls import watch_calls


class RecoveryKeys(Construct):
    """The secrets of a cluster. The first node writes them once; whoever reads one raises an alarm, a node too.

    A policy denies everybody else to read or replace them, whatever their own policies allow. Administrators of the
    account can change that policy, which raises the alarm.

    Args:
        scope: The construct that holds the secrets.
        construct_id: The id within `scope`.
        key: The key that encrypts them.
        alarms: Where the alarm is added.
        users: The ARNs of the only roles that may use them.

    Attributes:
        secret: The secret of the recovery keys.
        password: The secret of the administrator's password.
        bootstrap: What the first node may do with them.
        arns: The ARNs of both secrets.
        values: Their places in the host.json of nodes.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, key: kms.IKey, alarms: Alarms, users: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id)
        self._key, self._users = key, users
        self.secret = self._secret("Keys", "Vault's recovery keys, which can create a root token")
        self.password = self._secret("Password", "The password of the first administrator, without login by IAM")
        self.values = {"recovery_secret": self.secret.ref, "administrator_secret": self.password.ref}
        self.arns = found = [self.secret.ref, self.password.ref]
        self.bootstrap = [
            allow("KeepRecoveryKeys", ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], found),
            # Whether the cluster is set up is a tag: reading the keys would notify.
            allow("MarkCompleted", ["secretsmanager:DescribeSecret", "secretsmanager:TagResource"], [found[0]]),
            allow("UseSecrets", ["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn], via="secretsmanager"),
        ]
        watch_calls(
            self,
            "Reads",
            name="recovery-keys-read",
            source="secretsmanager",
            calls=["GetSecretValue", "DeleteSecret", "PutResourcePolicy"],
            resource={
                "requestParameters": {"secretId": [_however_named(arn) for arn in found]},
                # The bootstrap of a new cluster asks once for a secret that has no value yet.
                "errorCode": [{"exists": False}, {"anything-but": "ResourceNotFoundException"}],
            },
            text="Somebody read or deleted Vault's recovery keys, or the password of its administrator, or changed who "
            "may read them. Recovery keys can create a root token. If nobody of you did it, rotate them, and look for "
            "what that identity did.",
            alarms=alarms,
        )

    def _secret(self, construct_id: str, description: str) -> secretsmanager.CfnSecret:
        secret = secretsmanager.CfnSecret(self, construct_id, description=description, kms_key_id=self._key.key_arn)
        secret.apply_removal_policy(RemovalPolicy.RETAIN)
        reason = "Vault issues recovery keys, and only an operator with enough of them can issue others."
        acknowledge(secret, "SMG4", reason)
        secretsmanager.CfnResourcePolicy(
            self,
            f"{construct_id}Policy",
            secret_id=secret.ref,
            block_public_policy=True,
            resource_policy=iam.PolicyDocument(statements=[_deny_others(self._users)]),
        )
        return secret


def _deny_others(users: Sequence[str]) -> iam.PolicyStatement:
    actions = ("GetSecretValue", "PutSecretValue", "ReplicateSecretToRegions", "UpdateSecretVersionStage")
    return iam.PolicyStatement(
        sid="DenyOthers",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=[f"secretsmanager:{action}" for action in actions],
        resources=["*"],
        conditions={"ArnNotEquals": {"aws:PrincipalArn": list(users)}},
    )


def _however_named(arn: str) -> dict[str, str]:
    """Match what a caller can write for a secret: its ARN, the ARN without its random end, or its name.

    Args:
        arn: Its ARN, which ends with the name that CloudFormation gives to it, `<logical id>-<12 characters>`, and six
            more characters.
    """
    parts = Fn.split("-", Fn.select(6, Fn.split(":", arn)))
    return {"wildcard": Fn.join("-", ["*" + Fn.select(0, parts), Fn.select(1, parts) + "*"])}
