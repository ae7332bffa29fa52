"""A DynamoDB in this process (moto), with the table that the stack `alerting` makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest import mock

import botocore.session
from botocore.config import Config
from moto import mock_aws
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import TransactionCanceledException
from moto.dynamodb.models import DynamoDBBackend

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "eu-west-1"
TABLE = "alerts"
INDEXES = {"due": ("due_kind", "due_at"), "unsent": ("unsent_sink", "unsent_order")}


@contextmanager
def local_aws() -> Iterator[None]:
    """moto in this process; its transactions without a deep copy of the whole table for every row of each."""
    with mock_aws(), mock.patch.object(DynamoDBBackend, "transact_write_items", _transact):
        yield


@cache
def session() -> botocore.session.Session:
    """One for all tests: what it reads of the services' models is most of the time that a client takes."""
    made = botocore.session.get_session()
    made.set_credentials("testing", "testing")
    return made


@cache
def make_client(service: str) -> Any:
    """A client of the local AWS."""
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return session().create_client(service, region_name=REGION, config=config)


def make_table(client: DynamoDBClient) -> None:
    """The table, keys and indexes as in `stacks.alerting`."""
    text, number = {"AttributeType": "S"}, {"AttributeType": "N"}
    attributes: Any = [{"AttributeName": name, **text} for name in ("pk", "sk")]
    indexes: Any = []
    for name, (partition, sort) in INDEXES.items():
        attributes += [{"AttributeName": partition, **text}, {"AttributeName": sort, **number}]
        indexes.append(
            {"IndexName": name, "KeySchema": _keys(partition, sort), "Projection": {"ProjectionType": "ALL"}}
        )
    client.create_table(
        TableName=TABLE,
        AttributeDefinitions=attributes,
        KeySchema=_keys("pk", "sk"),
        GlobalSecondaryIndexes=indexes,
        BillingMode="PAY_PER_REQUEST",
    )


def all_rows() -> list[dict[str, Any]]:
    """Every row of the table."""
    pages = make_client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    return [row for page in pages for row in page["Items"]]


def _keys(partition: str, sort: str) -> Any:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _transact(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """All conditions first, then all writes: the same for distinct rows, which DynamoDB insists on."""
    actions = [next(iter(item.items())) for item in transact_items]
    keys = [_key(action) for _, action in actions]
    assert len(actions) <= 100
    assert len(set(keys)) == len(keys), "one transaction may not name a row twice"
    reasons: list[Any] = []
    for (_, action), (pk, sk) in zip(actions, keys):
        current = backend.get_item(action["TableName"], {"pk": {"S": pk}, "sk": {"S": sk}})
        holds = get_filter_expression(
            action.get("ConditionExpression"),
            action.get("ExpressionAttributeNames"),
            action.get("ExpressionAttributeValues"),
        ).expr(current)
        reasons.append((None, None, None) if holds else ("ConditionalCheckFailed", "as it says", None))
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)
    for kind, action in actions:
        if kind == "Put":
            backend.put_item(action["TableName"], action["Item"])
        else:
            assert kind == "Delete"
            backend.delete_item(action["TableName"], action["Key"])


def _key(action: dict[str, Any]) -> tuple[str, str]:
    row = action.get("Item") or action["Key"]
    return row["pk"]["S"], row["sk"]["S"]
