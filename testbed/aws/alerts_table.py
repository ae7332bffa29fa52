"""The alerts table without a template: for tests and benchmarks that need nothing else of the stack `alerting`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vaultwatch.store.dynamodb import schema

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_EXPIRY: Any = {"AttributeName": schema.EXPIRES_AT, "Enabled": True}


def make_table(client: DynamoDBClient, name: str) -> None:
    """Create the table that the stack `alerting` creates."""
    partition, sort = schema.PARTITION_KEY, schema.SORT_KEY
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (partition, sort)],
        KeySchema=[{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=_EXPIRY)
