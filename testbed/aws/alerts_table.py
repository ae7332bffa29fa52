"""The alerts table without a template: for tests and benchmarks that need nothing else of the stack `alerting`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vaultwatch.store.dynamodb import schema

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_STREAM: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_EXPIRY: Any = {"AttributeName": schema.EXPIRES_AT, "Enabled": True}


def make_table(client: DynamoDBClient, name: str, *, stream: bool = False) -> None:
    """Create the table that the stack `alerting` creates; its stream only if it is wanted, since moto keeps it all."""
    keys, text, number = (schema.PARTITION_KEY, schema.SORT_KEY), {"AttributeType": "S"}, {"AttributeType": "N"}
    attributes: Any = [{"AttributeName": key, **text} for key in keys]
    indexes: Any = []
    for index in schema.INDEXES:
        attributes += [
            {"AttributeName": index.partition_key, **text},
            {"AttributeName": index.sort_key, **number},
        ]
        indexes.append(
            {
                "IndexName": index.name,
                "KeySchema": _keys(index.partition_key, index.sort_key),
                "Projection": {"ProjectionType": "ALL"},
            }
        )
    client.create_table(
        TableName=name,
        AttributeDefinitions=attributes,
        KeySchema=_keys(*keys),
        GlobalSecondaryIndexes=indexes,
        BillingMode="PAY_PER_REQUEST",
        **({"StreamSpecification": _STREAM} if stream else {}),
    )
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=_EXPIRY)


def _keys(partition: str, sort: str) -> Any:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
