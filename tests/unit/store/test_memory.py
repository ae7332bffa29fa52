"""The Memory contract, tested on every adapter: what was seen, until when, and since when rules are live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.dynamodb import SEAL, TABLE, local_aws, make_client, make_table
from vaultwatch.store import Store, StoreError
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.memory import Memory
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0
Opener = Callable[[], tuple[Memory, Store]]


@pytest.fixture(params=["sqlite", "dynamodb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Open the same memory any number of times, as other processes do, with the store that it belongs to."""
    client = make_client("dynamodb")

    def opener() -> tuple[Memory, Store]:
        if request.param == "dynamodb":
            return DynamoMemory(client, TABLE, SEAL), DynamoStore(client, TABLE, SEAL)
        store = SqliteStore(tmp_path / "alerts.sqlite")
        return store, store

    with local_aws() if request.param == "dynamodb" else nullcontext():
        if request.param == "dynamodb":
            make_table(client)
        yield opener


def test_what_one_process_has_seen_another_one_knows(opened: Opener) -> None:
    memory, _ = opened()
    names = [f"n{number}" for number in range(150)]
    assert memory.seen(names, T0) == {}
    for _ in range(2):
        memory.remember(names, T0 + 10)
    other, _ = opened()
    assert other.seen([*names, "other"], T0) == dict.fromkeys(names, T0 + 10)


def test_it_is_forgotten_at_its_time_unless_it_is_seen_again(opened: Opener) -> None:
    memory, _ = opened()
    memory.remember(["a", "b"], T0 + 10)
    memory.remember(["b"], T0 + 20)
    assert memory.seen(["a", "b"], T0 + 10) == {"b": T0 + 20}


def test_a_rule_is_live_since_the_store_knows_it_with_this_digest(opened: Opener) -> None:
    memory, store = opened()
    store.live_since({"one": "d"}, T0)
    assert memory.rules_live_since({"one": "d", "two": "e"}, T0 + 5) == {"one": T0, "two": T0 + 5}
    assert memory.rules_live_since({"one": "another"}, T0 + 6) == {"one": T0 + 6}


def test_what_has_expired_is_deleted_from_the_file_and_a_file_from_before_gets_the_table(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "alerts.sqlite")
    store.remember(["a"], T0)
    store.purge(T0 + 1)
    with store._database.transaction() as db:
        assert db.execute("SELECT count(*) FROM seen").fetchone() == (0,)
        db.execute("DROP TABLE seen")
    store.close()
    again = SqliteStore(tmp_path / "alerts.sqlite")
    assert again.seen(["a"], T0) == {}
    again.close()
    with pytest.raises(StoreError):
        again.remember(["a"], T0)
