"""The topic of the people who operate Vaultwatch itself."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class OperationsTopic(sns.Topic):
    """An encrypted topic to which the CloudWatch alarms of this account publish.

    Args:
        scope: The construct that holds the topic.
        construct_id: The id within `scope`.
        key: The key that encrypts the messages; the alarms may use it.
        emails: The addresses to subscribe. AWS asks each of them to confirm.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.Key, emails: Sequence[str]) -> None:
        super().__init__(scope, construct_id, master_key=key, enforce_ssl=True)
        key.add_to_resource_policy(
            _allow_alarms("AlarmsEncrypt", actions=["kms:Decrypt", "kms:GenerateDataKey*"], resource="*")
        )
        # This policy replaces the default one, which would let the account's alarms publish.
        self.add_to_resource_policy(_allow_alarms("AlarmsPublish", actions=["sns:Publish"], resource=self.topic_arn))
        for address in emails:
            self.add_subscription(subscriptions.EmailSubscription(address))


def _allow_alarms(sid: str, *, actions: Sequence[str], resource: str) -> iam.PolicyStatement:
    """Return a statement for the CloudWatch alarms of this account only."""
    return iam.PolicyStatement(
        sid=sid,
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=list(actions),
        resources=[resource],
        conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
    )
