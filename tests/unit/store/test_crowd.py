"""Many writers of one rule: none waits for another, and every alert is counted exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table, one_at_a_time
from tests.support.functions import watching
from tests.unit.store.alerts import a_filing, record
from vaultwatch.dispatch.notification import NOTIFIED, Filing, Notification, Recorded
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.store.dynamodb.adapter import CROWD_SECONDS, DynamoStore
from vaultwatch.store.dynamodb.table import SETTLED

T0 = 1_700_000_000.0
PEOPLE = (Route("people", NOTIFIED, Level.INFORMATIONAL),)


@pytest.fixture
def client() -> Iterator[Any]:
    with local_aws():
        made = make_client("dynamodb")
        make_table(made)
        yield made


@pytest.fixture
def store(client: Any) -> DynamoStore:
    """Return a store that has just met another writer."""
    made = DynamoStore(client, TABLE, SEAL, PEOPLE, sleep=lambda seconds: None)

    def judge(number: int, name: str, is_made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems" and calls.names.count(name) == 1:
            reasons = [{"Code": "TransactionConflict"}]
            said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(said, "TransactWriteItems")

    with watching(judge) as calls:
        record(made, a_flood(15, "notified"), T0)
    return made


def a_flood(size: int, name: str = "p") -> list[Filing]:
    return [a_filing(f"{name}{n}", principal=f"{name}{n}") for n in range(size)]


def bodies(kind: str) -> list[bytes]:
    return [row["body"]["B"] for row in all_rows() if row["sk"]["S"] == kind and row["body"]["B"] != SETTLED]


def counted(notifications: Sequence[Notification]) -> int:
    return sum(one.merged_count for one in notifications)


def test_alerts_that_wait_leave_the_row_of_their_rule_as_it_is(store: DynamoStore) -> None:
    before = bodies("held")
    record(store, a_flood(35), T0 + 1)
    assert bodies("held") == before
    assert len(bodies("added")) == 1


def test_the_next_summary_counts_them_exactly(store: DynamoStore) -> None:
    record(store, a_flood(40), T0 + 1)
    assert store.settle(T0 + 30) == []
    assert bodies("added") == []
    [summary] = store.settle(T0 + 60)
    assert summary.merged_count == 40
    assert store.settle(T0 + 7200) == []


def test_a_known_alert_is_not_counted_again(store: DynamoStore) -> None:
    for _ in range(2):
        record(store, a_flood(40), T0 + 1)
    assert counted(store.settle(T0 + 60)) == 40


def test_a_notification_meanwhile_loses_none_that_the_rule_holds(client: Any, store: DynamoStore) -> None:
    record(DynamoStore(client, TABLE, SEAL, PEOPLE), a_flood(7, "held"), T0 + 1)
    urgent = store.file([a_filing("e", level=Level.CRITICAL, principal="mallory")], T0 + 2).notifications
    assert [one.disposition for one in urgent] == ["first"]
    assert counted(urgent) + counted(store.settle(T0 + 70)) == 7


def test_after_a_minute_without_a_conflict_the_row_of_the_rule_is_written_again(store: DynamoStore) -> None:
    record(store, a_flood(40), T0 + CROWD_SECONDS)
    assert bodies("added") == []


@pytest.mark.parametrize("writers", [2, 8, pytest.param(40, marks=pytest.mark.long)])
def test_any_number_of_writers_loses_and_doubles_no_count_and_is_no_store_error(client: Any, writers: int) -> None:
    def write(writer: int) -> list[Recorded]:
        store = DynamoStore(client, TABLE, SEAL, PEOPLE)
        return [result for batch in range(3) for result in record(store, a_flood(4, f"{writer}-{batch}-"), T0)]

    with one_at_a_time(), ThreadPoolExecutor(writers) as pool:
        results = [result for written in pool.map(write, range(writers)) for result in written]
    notified = sum(result.disposition == "first" for result in results)
    assert notified <= 15
    assert counted(DynamoStore(client, TABLE, SEAL, PEOPLE).settle(T0 + 3600)) + notified == writers * 12
