"""Counts in the table: a union of sets, whoever adds, however often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table
from vaultwatch.store import StoreRefused
from vaultwatch.store.counts import Shared
from vaultwatch.store.dynamodb.counts import DynamoCounts

LARGEST = 2**64 - 1


@pytest.fixture
def counts() -> Iterator[DynamoCounts]:
    with local_aws():
        make_table(make_client("dynamodb"))
        yield DynamoCounts(make_client("dynamodb"), TABLE, SEAL)


def test_each_process_gets_what_all_have_counted(counts: DynamoCounts) -> None:
    assert counts.add("w", {1, LARGEST}, {-7}, 100.0) == Shared(frozenset({1, LARGEST}), frozenset({-7}))
    other = DynamoCounts(make_client("dynamodb"), TABLE, SEAL)
    for _ in range(2):
        assert other.add("w", {1, 2}, {-6}, 200.0) == Shared(frozenset({1, 2, LARGEST}), frozenset({-7, -6}))
    assert counts.add("another", {3}, {0}, 100.0) == Shared(frozenset({3}), frozenset({0}))
    assert [row["expires_at"] for row in all_rows() if row["pk"] == {"S": SEAL.name("count#w")}] == [{"N": "200"}]


def test_a_window_that_has_reached_its_threshold_takes_nothing_more(counts: DynamoCounts) -> None:
    counts.mark_reached("w")
    assert all_rows() == []
    counts.add("w", {1}, {0}, 100.0)
    counts.mark_reached("w")
    assert counts.add("w", {2}, {0}, 100.0) == Shared(reached=True)
    assert [len(row["hashes"]["BS"]) for row in all_rows()] == [1]


def test_a_row_that_somebody_else_wrote_is_refused(counts: DynamoCounts) -> None:
    row = {"pk": {"S": SEAL.name("count#w")}, "sk": {"S": "count"}, "hashes": {"S": "none"}}
    make_client("dynamodb").put_item(TableName=TABLE, Item=row)
    with pytest.raises(StoreRefused):
        counts.add("w", {1}, {0}, 100.0)
