"""The event source mapping on the stream of a table passes each change on, in order, until the function took it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from testbed.aws.functions import Outcome
from testbed.aws.mappings import TableShard
from tests.support.dynamodb import TABLE, local_aws, make_client, make_table

DAY = 86_400.0


@dataclass
class Aws:
    """What the mapping uses of the local AWS; the function fails on the rows in `bad`."""

    time: float = 1_800_000_000.0
    bad: set[str] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def client(self, service: str, role: str) -> Any:  # noqa: ARG002
        return make_client(service)

    def invoke(self, function: Any, event: Any) -> Outcome:  # noqa: ARG002
        rows = [record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]]
        self.sizes.append(len(rows))
        if self.bad & set(rows):
            return Outcome("f", "1", error="error: it fails")
        self.taken += rows
        return Outcome("f", "1", payload={"batchItemFailures": []})


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()

    def utcnow() -> datetime:
        return datetime.fromtimestamp(made.time, UTC).replace(tzinfo=None)

    with local_aws(), mock.patch("moto.dynamodb.models.table.utcnow", utcnow):
        make_table(make_client("dynamodb"), stream=True)
        yield made


def shard(aws: Aws, position: str = "TRIM_HORIZON", **given: Any) -> TableShard:
    arn = make_client("dynamodb").describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    function: Any = SimpleNamespace(spec=SimpleNamespace(role="r"))
    said = {"EventSourceArn": arn, "StartingPosition": position, "BisectBatchOnFunctionError": True, **given}
    return TableShard(said, function, aws, "")  # type: ignore[arg-type]


def put(*names: str) -> None:
    for name in names:
        make_client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": name}, "sk": {"S": "x"}})


def test_changes_come_in_their_order_at_most_1000_at_a_time(aws: Aws) -> None:
    names = [f"{number:04}" for number in range(1_001)]
    put(*names)
    one = shard(aws, BatchSize=5_000)
    while one.step():
        pass
    assert aws.taken == names
    assert aws.sizes == [1_000, 1]


def test_one_that_fails_is_tried_for_24_hours_and_then_the_others_follow(aws: Aws) -> None:
    put("a", "bad")
    aws.bad = {"bad"}
    one, began = shard(aws), aws.time
    while aws.time < began + DAY - 60:
        one.step()
        aws.time += 60
    put("c")
    one.step()
    assert aws.taken == ["a"]
    assert aws.sizes.count(1) > 1_400
    aws.time += 120
    while one.step():
        pass
    assert aws.taken == ["a", "c"]


def test_it_can_begin_with_what_comes(aws: Aws) -> None:
    put("before")
    one = shard(aws, "LATEST")
    put("after")
    while one.step():
        pass
    assert aws.taken == ["after"]
