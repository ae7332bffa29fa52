"""The stream of a table on the local AWS has what DynamoDB's has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.aws.table_stream import expire_rows
from tests.support.dynamodb import REGION, TABLE, changes, local_aws, make_client, make_table

ROW: dict[str, Any] = {"pk": {"S": "a#1"}, "sk": {"S": "x"}, "body": {"B": b"\x00\xff"}, "many": {"BS": [b"1", b"2"]}}
KEY = {name: ROW[name] for name in ("pk", "sk")}
OTHER = {**ROW, "pk": {"S": "a#2"}}


@pytest.fixture
def client() -> Iterator[Any]:
    with local_aws():
        made = make_client("dynamodb")
        make_table(made, stream=True)
        yield made


def names() -> list[str]:
    return [record["eventName"] for record in changes()]


def test_each_change_is_one_record_with_the_row_before_and_after_it(client: Any) -> None:
    client.put_item(TableName=TABLE, Item=ROW)
    client.put_item(TableName=TABLE, Item={**ROW, "body": {"B": b"2"}})
    client.delete_item(TableName=TABLE, Key=KEY)
    inserted, modified, removed = changes()
    assert [one["eventName"] for one in (inserted, modified, removed)] == ["INSERT", "MODIFY", "REMOVE"]
    assert inserted["dynamodb"]["NewImage"]["body"] == {"B": "AP8="}
    assert sorted(inserted["dynamodb"]["NewImage"]["many"]["BS"]) == ["MQ==", "Mg=="]
    assert "OldImage" not in inserted["dynamodb"]
    assert modified["dynamodb"]["OldImage"] == inserted["dynamodb"]["NewImage"]
    assert "NewImage" not in removed["dynamodb"]
    assert "userIdentity" not in removed
    assert inserted["eventSourceARN"].startswith("arn:aws:dynamodb:")


def test_what_changes_nothing_is_no_record(client: Any) -> None:
    for _ in range(2):
        client.put_item(TableName=TABLE, Item=ROW)
    client.delete_item(TableName=TABLE, Key={**KEY, "sk": {"S": "none"}})
    assert names() == ["INSERT"]


def test_a_transaction_that_fails_leaves_no_record(client: Any) -> None:
    client.put_item(TableName=TABLE, Item=OTHER)
    refused = {"TableName": TABLE, "Item": OTHER, "ConditionExpression": "attribute_not_exists(pk)"}
    with pytest.raises(ClientError):
        client.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": ROW}}, {"Put": refused}])
    assert names() == ["INSERT"]
    assert client.get_item(TableName=TABLE, Key=KEY).get("Item") is None


def test_what_expires_is_deleted_by_dynamodb_itself(client: Any) -> None:
    for row, moment in ((ROW, "10"), (OTHER, "11")):
        client.put_item(TableName=TABLE, Item={**row, "expires_at": {"N": moment}})
    assert expire_rows(REGION, 10.5) == 1
    record = changes()[-1]
    assert record["eventName"] == "REMOVE"
    assert record["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert record["dynamodb"]["Keys"] == KEY
