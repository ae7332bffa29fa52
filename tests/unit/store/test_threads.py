"""The Threads contract, tested on both adapters."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.dynamodb import TABLE, local_aws, make_client, make_table
from tests.support.functions import watching
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.threads import DynamoThreads
from vaultwatch.store.sqlite_threads import SqliteThreads
from vaultwatch.store.threads import Thread, Threads

NOW = 1_700_000_000.0
Opener = Callable[[], Threads]


def a_thread(ts: str = "1700000000.000001", **changes: Any) -> Thread:
    fields: dict[str, Any] = {
        "channel": "C1",
        "ts": ts,
        "begun_at": NOW,
        "expires_at": NOW + 3_600.5,
        "level": Level.HIGH,
        "headline": "HIGH: Root policy used",
        "body": [{"type": "section", "text": {"type": "plain_text", "text": "alice \u202e 😀"}}],
        "alerts": 3,
        "notifications": 2,
        "latest": "alice read secret/data/app",
        "posted": ("n1/0", "n1/1", "n2/0"),
    }
    return Thread(**(fields | changes))


@pytest.fixture(params=["sqlite", "dynamodb"])
def open_threads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Open the same threads any number of times."""
    with local_aws() if request.param == "dynamodb" else nullcontext():
        if request.param == "dynamodb":
            make_table(make_client("dynamodb"))
            yield lambda: DynamoThreads(make_client("dynamodb"), TABLE, "slack")
        else:
            yield lambda: SqliteThreads(tmp_path / "threads", clock=lambda: NOW)


def test_a_stored_thread_is_there_for_the_next_process(open_threads: Opener) -> None:
    assert open_threads().get("g1") is None
    assert open_threads().put("g1", a_thread(), None)
    assert open_threads().get("g1") == a_thread()
    assert open_threads().get("g2") is None


def test_a_thread_replaces_only_the_one_that_was_seen(open_threads: Opener) -> None:
    threads = open_threads()
    assert threads.put("g1", a_thread("1"), None)
    assert not threads.put("g1", a_thread("2"), None)
    assert not threads.put("g1", a_thread("2"), a_thread("0"))
    assert threads.get("g1") == a_thread("1")
    assert threads.put("g1", a_thread("2"), a_thread("1"))
    assert threads.get("g1") == a_thread("2")


def test_an_expired_one_may_be_replaced(open_threads: Opener) -> None:
    threads = open_threads()
    expired = a_thread(expires_at=NOW - 86_400)
    threads.put("g1", expired, None)
    assert threads.put("g1", a_thread(), threads.get("g1"))


class TestSqlite:
    def test_expired_threads_are_deleted_and_the_number_of_others_is_bounded(self, tmp_path: Path) -> None:
        threads = SqliteThreads(tmp_path / "threads", clock=lambda: NOW, max_threads=3)
        threads.put("old", a_thread(expires_at=NOW - 1), None)
        for number in range(5):
            threads.put(f"g{number}", a_thread(expires_at=NOW + number), None)
        with closing(sqlite3.connect(tmp_path / "threads")) as db:
            assert [group for (group,) in db.execute('SELECT "group" FROM thread')] == ["g2", "g3", "g4"]

    def test_its_file_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        SqliteThreads(tmp_path / "threads").put("g1", a_thread(), None)
        assert (tmp_path / "threads").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("content", [b"no database" * 1000, None])
    def test_one_that_cannot_be_read_is_replaced(self, tmp_path: Path, content: bytes | None) -> None:
        threads = SqliteThreads(tmp_path / "threads", clock=lambda: NOW)
        threads.put("g1", a_thread(), None)
        if content is None:
            with closing(sqlite3.connect(tmp_path / "threads", isolation_level=None)) as db:
                db.execute("UPDATE thread SET body = '{}'")
        else:
            (tmp_path / "threads").write_bytes(content)
        with pytest.raises(StoreError, match="it is deleted"):
            threads.get("g1")
        assert threads.put("g1", a_thread(), None)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="nowhere/threads"):
            SqliteThreads(tmp_path / "nowhere" / "threads").get("g1")


class TestDynamoDb:
    @pytest.fixture(autouse=True)
    def table(self) -> Iterator[None]:
        with local_aws():
            make_table(make_client("dynamodb"))
            yield

    def test_dynamodb_deletes_a_row_after_it_has_expired(self) -> None:
        threads = DynamoThreads(make_client("dynamodb"), TABLE, "slack")
        threads.put("g1", a_thread(), None)
        key = {"pk": {"S": "thread#slack#g1"}, "sk": {"S": "thread"}}
        row = make_client("dynamodb").get_item(TableName=TABLE, Key=key)["Item"]
        assert row["expires_at"] == {"N": str(int(NOW + 3_600.5))}

    def test_a_change_between_read_and_write_is_detected(self) -> None:
        threads = DynamoThreads(make_client("dynamodb"), TABLE, "slack")
        threads.put("g1", a_thread("1"), None)
        raced = [True]

        def judge(number: int, name: str, made: bool) -> None:
            if name == "DynamoDB.TransactWriteItems" and not made and raced.pop():
                raced.append(False)
                assert DynamoThreads(make_client("dynamodb"), TABLE, "slack").put("g1", a_thread("2"), a_thread("1"))

        with watching(judge):
            assert not threads.put("g1", a_thread("3"), a_thread("1"))
        assert threads.get("g1") == a_thread("2")

    def test_without_dynamodb_it_raises_a_store_error(self) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "x")

        with watching(judge), pytest.raises(StoreError, match="InternalServerError"):
            DynamoThreads(make_client("dynamodb"), TABLE, "slack").get("g1")
