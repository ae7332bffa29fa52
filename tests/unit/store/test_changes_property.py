"""Whatever our store does in any order is silent, and whatever somebody else does to a row is reported.

Of what he may do, only what leaves the row as our code left it is not: what two functions write at once is the same,
and what is in a shared count has no seal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dynamodb import all_rows
from tests.unit.store.alerts import a_filing, record
from tests.unit.store.changing import Changing, Row, changing
from tests.unit.store.test_expectations import expected
from vaultwatch.rules.facts import Level
from vaultwatch.store.dynamodb.changes import LATE_SECONDS

DAY = 86_400.0
MEMORY = ("written", "expires_at", "seal")


def file(table: Changing, number: int) -> None:
    changes = {"principal": f"p{number % 3}", "path": f"{number % 2}", "remote_address": f"10.0.0.{number % 5}"}
    level = Level.CRITICAL if number % 7 == 0 else Level.HIGH
    record(table.store, [a_filing(f"e{number}-{n}", level=level, **changes) for n in range(1 + number % 3)], table.now)


def crowd(table: Changing, number: int) -> None:
    table.store._crowded_until = table.now + 60
    file(table, number)


def complete(table: Changing, number: int) -> None:
    record(table.store, [a_filing(f"e{number}", outcome="unknown")], table.now)
    record(table.store, [a_filing(f"e{number}", outcome="succeeded")], table.now)


def send(table: Changing, number: int) -> None:
    sink = ("sns", "history")[number % 2]
    found = table.store.unsent(sink, table.now, limit=1 + number % 4)
    table.store.mark_sent([one.notification.id for one in found], sink, table.now)


def put_off(table: Changing, number: int) -> None:
    for one in table.store.unsent("sns", table.now, limit=1 + number % 2):
        table.store.put_off(one.notification.id, "sns", table.now + 60)


def close(table: Changing, number: int) -> None:
    table.now += 60 * (1 + number % 20)
    table.store.settle(table.now)


def expect(table: Changing, number: int) -> None:
    table.expectations.expect([expected(table.now - number)], table.now + 9 * DAY)


def absent(table: Changing, number: int) -> None:
    for one in table.expectations.due(table.now + number * 3600):
        table.expectations.settle_due(one, table.now + DAY)


def remember(table: Changing, number: int) -> None:
    table.memory.remember([f"{number % 2}"], table.now + 90 * DAY)
    table.store.live_since({"rule": f"{number % 3}"}, table.now)


def count(table: Changing, number: int) -> None:
    table.counts.add(f"{number % 2}", [number], [number % 3], table.now + 3600)
    if number % 5 == 0:
        table.counts.mark_reached(f"{number % 2}")


def wait(table: Changing, number: int) -> None:
    table.now += (1, 60, 600, DAY, 100 * DAY)[number % 5]
    table.expire()


STEPS = [file, crowd, complete, send, put_off, close, expect, absent, remember, count, wait]
Step = tuple[Callable[[Changing, int], None], int]
A_STEP = st.tuples(st.sampled_from(STEPS), st.integers(0, 30))


def key(row: Row) -> tuple[str, str]:
    return row["pk"]["S"], row["sk"]["S"]


def rows() -> dict[tuple[str, str], Row]:
    return {key(row): row for row in all_rows()}


def leaves_it(before: Row | None, after: Row) -> bool:
    """Return whether a row that somebody wrote says what that of our code said, or has no seal to recognise it by."""
    if before is None:
        return bool(after["sk"]["S"] == "count")
    kept = abs(float(before.get("expires_at", {}).get("N", 0)) - float(after.get("expires_at", {}).get("N", 0)))
    says = {name: value for name, value in before.items() if name not in MEMORY}
    blind = after["sk"]["S"] in ("seen", "count") or after["body"]["B"] == b"sent"
    same = says == {name: value for name, value in after.items() if name not in MEMORY}
    return bool(before == after or (blind and same and kept < LATE_SECONDS))


def steal(table: Changing, data: st.DataObject, images: dict[tuple[str, str], list[Row]]) -> bool:
    """Let somebody do one thing to one row, and return whether it has to be reported."""
    present, place = rows(), data.draw(st.sampled_from(sorted(images)), "row")
    now = present.get(place)
    thefts = ["put back", *(["delete", "write over", "take from its index", "shorten"] if now else [])]
    theft = data.draw(st.sampled_from(thefts), "theft")
    if theft == "put back":
        row = data.draw(st.sampled_from(images[place]), "image")
        table.put(row)
        # What was written in the last minutes, and then deleted, was reported as deleted.
        return not leaves_it(now, row)
    assert now is not None
    if theft == "delete":
        table.delete(now)
        return True
    changed = {
        "write over": {**now, "body": {"B": b"{}"}} if "body" in now else {**now, "hashes": {"BS": [b"x"]}},
        "take from its index": {name: value for name, value in now.items() if name not in ("due_kind", "unsent_sink")},
        "shorten": {**now, "expires_at": {"N": "1"}},
    }[theft]
    table.put(changed)
    return changed != now


def run(steps: list[Step], at: int, data: st.DataObject) -> None:
    images: dict[tuple[str, str], list[Row]] = {}
    with changing() as table:
        for number, (step, argument) in enumerate(steps):
            step(table, argument)
            table.now += 0.01
            assert table.judged() == []
            for place, row in rows().items():
                if row not in images.setdefault(place, []):
                    images[place].append(row)
            if number == at and images:
                reported = steal(table, data, images)
                assert len(table.judged()) == reported


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(A_STEP, min_size=2, max_size=10), st.integers(0, 9), st.data())
def test_what_our_store_does_is_silent_and_every_theft_is_reported(
    steps: list[Step], at: int, data: st.DataObject
) -> None:
    run(steps, at, data)


@pytest.mark.long
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(A_STEP, min_size=2, max_size=20), st.integers(0, 19), st.data())
def test_so_it_is_in_longer_sequences(steps: list[Step], at: int, data: Any) -> None:
    run(steps, at, data)
