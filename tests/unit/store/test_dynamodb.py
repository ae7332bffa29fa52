"""The DynamoDB adapter beyond the contract: many writers, limits of rows, and names that show nothing."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table, one_at_a_time
from tests.support.functions import watching
from tests.unit.store.alerts import a_filing, an_alert, record, settle
from tests.unit.store.conftest import ROUTES
from tests.unit.store.test_calendar import seen_item_by_item
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED, Filing, Recorded
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.store import REMEMBERED_SECONDS, StoreError
from vaultwatch.store.dynamodb import adapter
from vaultwatch.store.dynamodb.adapter import PATIENCE_SECONDS, DynamoStore
from vaultwatch.store.dynamodb.calendar import LATE_SECONDS, Calendar
from vaultwatch.store.dynamodb.counts import DynamoCounts
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.dynamodb.sent import SentNotifications
from vaultwatch.store.dynamodb.table import SETTLED, SETTLED_SECONDS

T0 = 1_700_000_000.0
TOPIC = (Route("sns", ALL_DISPOSITIONS, Level.INFORMATIONAL),)


@pytest.fixture
def client() -> Iterator[Any]:
    with local_aws():
        made = make_client("dynamodb")
        make_table(made)
        yield made


@pytest.fixture
def store(client: Any) -> DynamoStore:
    return DynamoStore(client, TABLE, SEAL, TOPIC, sleep=lambda seconds: None)


def rows(kind: str) -> list[dict[str, Any]]:
    return [row for row in all_rows() if row["sk"]["S"] == kind]


class TestTransactions:
    def test_of_a_flood_have_32_events_each(self, store: DynamoStore) -> None:
        with watching() as calls:
            record(store, [a_filing(f"e{n}", principal=f"p{n}") for n in range(96)], T0)
        assert calls.names.count("DynamoDB.TransactWriteItems") == 3

    def test_of_large_alerts_have_fewer_events(self, store: DynamoStore) -> None:
        filings = [a_filing(f"e{n}", principal=f"p{n}", record={"data": f"{n}" + "x" * 110_000}) for n in range(60)]
        with watching() as calls:
            record(store, filings, T0)
        assert calls.names.count("DynamoDB.TransactWriteItems") == 3
        assert len(rows("alert")) == 60

    def test_of_16_alerts_of_an_event_are_one(self, store: DynamoStore) -> None:
        with watching() as calls:
            record(store, [a_filing("e1", rule=f"r{n}", principal="alice") for n in range(16)], T0)
        assert calls.names.count("DynamoDB.TransactWriteItems") == 1

    def test_that_conflict_with_another_writer_decide_again(self, store: DynamoStore, client: Any) -> None:
        other = DynamoStore(client, TABLE, SEAL, TOPIC)
        events = iter(["o1", "o2"])
        busy = False

        def judge(number: int, name: str, made: bool) -> None:
            nonlocal busy
            if name == "DynamoDB.TransactWriteItems" and not made and not busy:
                busy = True
                for event in events:
                    record(other, [a_filing(event, remote_address="198.51.100.1")], T0)
                    break
                busy = False

        with watching(judge):
            (result,) = record(store, [a_filing("e1")], T0)
        assert (result.new, result.disposition) == (True, "suppressed")
        assert store.settle(T0 + 900)[0].merged_count == 2

    def test_give_up_if_conflicts_never_end(self, client: Any) -> None:
        pauses: list[float] = []

        def judge(number: int, name: str, made: bool) -> None:
            if name == "DynamoDB.TransactWriteItems":
                reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
                said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
                raise ClientError(said, "TransactWriteItems")

        with watching(judge), pytest.raises(StoreError, match="concurrent writers"):
            record(DynamoStore(client, TABLE, SEAL, TOPIC, sleep=pauses.append), [a_filing()], T0)
        assert PATIENCE_SECONDS <= sum(pauses) < PATIENCE_SECONDS + 2

    def test_are_not_retried_if_dynamodb_calls_them_invalid(self, store: DynamoStore) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name == "DynamoDB.TransactWriteItems":
                reasons = [{"Code": "ValidationError"}]
                said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
                raise ClientError(said, "TransactWriteItems")

        with watching(judge) as calls, pytest.raises(StoreError, match="ValidationError"):
            record(store, [a_filing()], T0)
        assert calls.names.count("DynamoDB.TransactWriteItems") == 1


def incompressible(seed: object, size: int) -> str:
    return random.Random(str(seed)).randbytes(size // 2).hex()


class TestAFlood:
    """Alerts that come faster than people can be notified of them."""

    AWS = (Route("sns", NOTIFIED, Level.INFORMATIONAL), Route("history", ALL_DISPOSITIONS - NOTIFIED, batched=True))

    def test_takes_few_calls_whether_it_repeats_itself_or_not(self, client: Any) -> None:
        for principals, rule in ((1, "r"), (1_000, "s")):
            store = DynamoStore(client, TABLE, SEAL, self.AWS)
            filings = [a_filing(f"e{n}", rule=rule, principal=f"p{n % principals}") for n in range(1_000)]
            with watching() as calls:
                filed = store.file(filings, T0)
            assert len(calls.names) <= 40, principals
            alerts = [alert.id for one in filed.notifications for alert in one.alerts]
            assert sorted(alerts) == sorted(filing.alert.id for filing in filings)

    def test_a_notification_for_a_batched_sink_is_marked_sent_as_a_whole(self, client: Any) -> None:
        store = DynamoStore(client, TABLE, SEAL, self.AWS)
        store.file([a_filing(f"e{n}") for n in range(120)], T0)
        unsent = [one.notification for one in store.unsent("history", T0, limit=100)]
        assert sum(len(one.alerts) for one in unsent) == 119
        assert len(unsent) <= 5
        store.mark_sent([one.id for one in unsent], "history", T0)
        assert store.unsent("history", T0) == []

    def test_large_alerts_that_notify_nobody_are_stored_without_the_largest_values_of_their_records(
        self, client: Any
    ) -> None:
        store = DynamoStore(client, TABLE, SEAL, self.AWS)
        store.file([a_filing(f"e{n}", record={"data": incompressible(n, 30_000)}) for n in range(9)], T0)
        sizes = sorted(len(row["body"]["B"]) for row in rows("alert"))
        assert sizes[-2] < 6_000
        assert sizes[-1] > 15_000

    @pytest.mark.parametrize("name", ["record", "error"])
    def test_no_transaction_is_larger_than_dynamodb_allows(self, client: Any, name: str) -> None:
        store = DynamoStore(client, TABLE, SEAL, self.AWS)

        def filings(outcome: str) -> list[Filing]:
            texts = [incompressible(f"{outcome}{n}", 110_000) for n in range(60)]
            fields: Any = [{name: {"data": text} if name == "record" else text} for text in texts]
            return [a_filing(f"e{n}", outcome=outcome, principal=f"p{n}", **one) for n, one in enumerate(fields)]

        record(store, filings("unknown"), T0)
        results = record(store, filings("failed"), T0 + 1)
        assert [result.completed for result in results] == [True] * 60

    @pytest.mark.parametrize("writers", [2, 8, pytest.param(40, marks=pytest.mark.long)])
    def test_from_many_writers_loses_and_doubles_no_count_and_is_no_store_error(
        self, client: Any, writers: int
    ) -> None:
        def write(writer: int) -> list[Recorded]:
            store = DynamoStore(client, TABLE, SEAL, self.AWS)
            return [
                result
                for batch in range(3)
                for result in record(store, [a_filing(f"{writer}-{batch}-{n}") for n in range(4)], T0)
            ]

        with one_at_a_time(), ThreadPoolExecutor(writers) as pool:
            results = [result for written in pool.map(write, range(writers)) for result in written]
        assert Counter(result.disposition for result in results) == {"first": 1, "suppressed": writers * 12 - 1}
        [summary] = DynamoStore(client, TABLE, SEAL, self.AWS).settle(T0 + 3600)
        assert summary.merged_count == writers * 12 - 1


class TestMemory:
    def test_rows_have_a_time_to_live(self, client: Any) -> None:
        record(DynamoStore(client, TABLE, SEAL, TOPIC, remembered_seconds=1000), [a_filing()], T0)
        assert {row["expires_at"]["N"] for row in rows("alert") + rows("sink#sns")} == {"1700001000"}
        assert all("expires_at" not in row for row in rows("held") + rows("window"))

    def test_expired_rows_are_ignored_before_dynamodb_deletes_them(self, store: DynamoStore) -> None:
        record(store, [a_filing()], T0)
        later = T0 + REMEMBERED_SECONDS + 1
        assert [result.new for result in record(store, [a_filing()], later)] == [True]
        (row,) = rows("alert")
        assert float(row["expires_at"]["N"]) > later

    def test_a_completed_alert_is_not_remembered_longer(self, store: DynamoStore) -> None:
        record(store, [a_filing(outcome="unknown")], T0)
        record(store, [a_filing(outcome="failed")], T0 + 500)
        (row,) = rows("alert")
        assert float(row["expires_at"]["N"]) == T0 + REMEMBERED_SECONDS

    def test_a_closed_window_leaves_a_row_that_waits_for_nothing_and_expires_soon(self, store: DynamoStore) -> None:
        record(store, [a_filing("e1"), a_filing("e2")], T0)
        store.settle(T0 + 900)
        [row] = rows("window")
        assert row.keys() == {"pk", "sk", "body", "seal", "expires_at"}
        assert row["body"]["B"] == SETTLED
        assert 0 < float(row["expires_at"]["N"]) - time.time() <= SETTLED_SECONDS
        assert store.settle(T0 + 1800) == []
        assert store.file([a_filing("e3")], T0 + 1800).recorded[0].disposition == "first"
        assert rows("window")[0]["body"]["B"] != SETTLED


def test_two_functions_that_settle_at_the_same_time_close_no_window_twice(store: DynamoStore, client: Any) -> None:
    record(store, [a_filing("e1"), a_filing("e2", remote_address="198.51.100.1")], T0)
    real = client.query
    shown: dict[str, Any] = {}

    def stale(**given: Any) -> Any:
        return shown.setdefault(given["ExpressionAttributeValues"][":pk"]["S"], real(**given))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "query", stale)
        made = [store.settle(T0 + 900), store.settle(T0 + 901)]
    assert [[one.merged_count for one in summaries] for summaries in made] == [[1], []]


def test_what_a_writer_in_a_crowd_adds_is_in_a_summary_though_digest_looks_before_all_of_it_is_visible(
    store: DynamoStore, client: Any
) -> None:
    digest = DynamoStore(client, TABLE, SEAL, TOPIC, sleep=lambda seconds: None)
    record(store, [a_filing("e0", principal="p0")], T0)
    store._crowded_until = T0 + 1e9
    with seen_item_by_item(client, lambda: digest.settle(T0 + 1)):
        record(store, [a_filing(f"f{n}", principal=f"q{n}", cluster=f"c{n}") for n in range(30)], T0 + 1)
    for hour in range(1, 4):
        digest.settle(T0 + hour * 3600)
    assert [row for row in rows("added") if "due_at" in row] == []


def test_an_appointment_that_cannot_be_settled_keeps_back_no_summary(store: DynamoStore) -> None:
    record(store, [a_filing("e1"), a_filing("e2", remote_address="198.51.100.1")], T0)

    def fail(*given: Any) -> None:
        raise StoreError("DynamoDB answered ThrottlingException")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Calendar, "close", fail)
        with pytest.raises(StoreError, match="Throttling"):
            store.settle(T0 + 3600)
        assert sum(one.notification.merged_count for one in store.unsent("sns", T0 + 3660)) == 1


def test_what_there_was_no_time_for_is_settled_later_however_late_it_is(store: DynamoStore) -> None:
    record(store, [a_filing("e1"), a_filing("e2", remote_address="198.51.100.1")], T0)
    store.settle(T0 + 1)
    for hours in (3, 6, 9):
        assert store.settle(T0 + hours * 3600, lambda: False) == []
    assert [one.merged_count for one in store.settle(T0 + 12 * 3600)] == [1]


def test_after_an_outage_of_half_an_hour_pages_of_unsent_notifications_end_with_the_last_one(
    store: DynamoStore,
) -> None:
    record(store, [a_filing(f"e{n}", principal=f"p{n}") for n in range(30)], T0)
    at, sent = T0 + LATE_SECONDS + 60, 0
    while page := store.unsent("sns", at, limit=10):
        store.mark_sent([one.notification.id for one in page], "sns", at)
        sent += len(page)
    assert sent == 30


def store_45(store: DynamoStore, now: float) -> None:
    """Store as many notifications as three minutes have room for, each in a transaction of its own."""
    for number in range(45):
        record(store, [a_filing(f"e{number}", principal=f"p{number}")], now + 61 * (number // 15))


def test_a_critical_notification_is_on_the_first_page_however_many_others_are_unsent_before_it(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_COMPARED", 10)
    store_45(store, T0)
    record(store, [a_filing("c", level=Level.CRITICAL)], T0 + 183)
    assert store.unsent("sns", T0 + 244, limit=1)[0].notification.level is Level.CRITICAL


def test_so_is_one_that_was_put_off_before(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_COMPARED", 10)
    record(store, [a_filing("c", level=Level.CRITICAL)], T0)
    [critical] = store.unsent("sns", T0)
    store.put_off(critical.notification.id, "sns", T0 + 243)
    assert store.unsent("sns", T0 + 1) == []
    store_45(store, T0 + 61)
    page = store.unsent("sns", T0 + 244, limit=1)
    assert [(one.notification.level, one.attempts) for one in page] == [(Level.CRITICAL, 1)]


def test_nothing_is_scanned(store: DynamoStore) -> None:
    with watching() as calls:
        record(store, [a_filing("e1"), a_filing("e2")], T0)
        settle(store, T0 + 900)
        store.unsent("sns", T0 + 900)
    assert "DynamoDB.Scan" not in calls.names


def test_unprocessed_items_are_requested_again(client: Any) -> None:
    read = client.batch_get_item

    def half(RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - DynamoDB's name
        keys = RequestItems[TABLE]["Keys"]
        now, later = (
            {TABLE: {**RequestItems[TABLE], "Keys": some}} for some in (keys[: len(keys) // 2], keys[len(keys) // 2 :])
        )
        if len(keys) < 2:
            return read(RequestItems=RequestItems)
        return {**read(RequestItems=now), "UnprocessedKeys": later}

    pauses: list[float] = []
    store = DynamoStore(client, TABLE, SEAL, TOPIC, sleep=pauses.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "batch_get_item", half)
        record(store, [a_filing(f"e{n}", rule=f"r{n}") for n in range(5)], T0)
        assert len(store.unsent("sns", T0)) == 5
    assert pauses[:3] == [0.05, 0.1, 0.2]


def test_items_that_stay_unprocessed_are_an_error(client: Any) -> None:
    pauses: list[float] = []
    store = DynamoStore(client, TABLE, SEAL, TOPIC, sleep=pauses.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            client, "batch_get_item", lambda **given: {"Responses": {}, "UnprocessedKeys": given["RequestItems"]}
        )
        with pytest.raises(StoreError, match="left items unprocessed 10 times"):
            record(store, [a_filing()], T0)
    assert len(pauses) == 10
    assert record(store, [a_filing()], T0)[0].new


def test_a_row_that_cannot_be_read_is_replaced(store: DynamoStore, client: Any) -> None:
    record(store, [a_filing("e1")], T0)
    (row,) = rows("held")
    client.put_item(TableName=TABLE, Item={**row, "body": {"B": b"x"}})
    assert record(store, [a_filing("e2", principal="bob")], T0)[0].new
    assert rows("held")[0]["body"] != {"B": b"x"}


def test_no_name_of_a_row_shows_what_it_is_about(store: DynamoStore, client: Any) -> None:
    record(store, [a_filing("e1", same_as=("other",)), a_filing("e2", rule="held")], T0)
    store.live_since({"rule": "digest"}, T0)
    DynamoMemory(client, TABLE, SEAL).remember(["seen"], T0)
    DynamoCounts(client, TABLE, SEAL).add("window", {1}, {0}, T0)
    names = [row["pk"]["S"] for row in all_rows()]
    beginnings = {name.partition("#")[0] for name in names}
    assert beginnings == {"alert", "count", "due", "family", "group", "limit", "live", "notification", "rule", "seen"}
    assert all(re.fullmatch("[a-z]+#[0-9a-f]{32}", name) for name in names)
    clear = (an_alert("e1").id, a_filing("e1").group)
    assert not any(one in name for one in clear for name in names)


def test_an_error_quotes_nothing_of_the_request(store: DynamoStore) -> None:
    def judge(number: int, name: str, made: bool) -> None:
        raise EndpointConnectionError(endpoint_url="https://alice")

    with watching(judge), pytest.raises(StoreError) as raised:
        record(store, [a_filing()], T0)
    assert "alice" not in str(raised.value)


class TestLiveRules:
    DAY = 86400.0

    def test_expire_after_the_time_for_which_alerts_are_remembered(self, store: DynamoStore) -> None:
        store.live_since({"a": "1", "b": "1"}, T0)
        store.live_since({"a": "1"}, T0 + 20 * self.DAY)
        assert {row["pk"]["S"]: int(row["expires_at"]["N"]) for row in rows("live")} == {
            SEAL.name("live#a#1"): T0 + 20 * self.DAY + REMEMBERED_SECONDS,
            SEAL.name("live#b#1"): T0 + REMEMBERED_SECONDS,
        }

    def test_that_are_read_all_the_time_are_written_once_a_day(self, store: DynamoStore) -> None:
        with watching() as calls:
            for hour in range(25):
                store.live_since({"a": "1"}, T0 + hour * 3600)
        assert calls.names.count("DynamoDB.TransactWriteItems") == 2


def test_what_was_sent_is_kept_by_sink(client: Any, store: DynamoStore) -> None:
    slack, pager = (SentNotifications(client, TABLE, sink) for sink in ("slack", "pager"))
    slack.add("m1", T0)
    assert slack.known(["m1", "m2"]) == {"m1"}
    assert pager.known(["m1"]) == set()


def test_routes_of_the_contract_fit_a_transaction_too(client: Any) -> None:
    store = DynamoStore(client, TABLE, SEAL, ROUTES)
    record(store, [a_filing("e0", rule=f"r{n}") for n in range(25)], T0)
    assert len(record(store, [a_filing("e1", rule=f"r{n}", principal="bob") for n in range(25)], T0)) == 25
