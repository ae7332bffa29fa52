"""The table that stores alerts, alert groups and deliveries."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from vaultwatch.store.dynamodb import schema


class AlertsTable(dynamodb.Table):
    """The DynamoDB table behind `vaultwatch.store.dynamodb`. It outlives its stack, and no index lists its rows.

    Args:
        scope: The construct that holds the table.
        construct_id: The id within `scope`.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=_text(schema.PARTITION_KEY),
            sort_key=_text(schema.SORT_KEY),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            # With a key of our own, every function would need permissions on that key for all of DynamoDB.
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=schema.EXPIRES_AT,
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
