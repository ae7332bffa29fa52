"""What waits is found once its time has come, whoever writes it when, and nothing is looked at without end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table
from tests.support.functions import watching
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb import schema
from vaultwatch.store.dynamodb.calendar import LATE_SECONDS, UNKNOWN_SECONDS, Appointment, Calendar, with_appointments
from vaultwatch.store.dynamodb.table import SETTLED, Conflict, Table, Wait, replace_row

T0 = 1_700_092_800.0 - 6_400  # before the end of a week, so that what is due later is in another partition
DAY = 86_400.0
NAME = "window"


@contextmanager
def opened() -> Iterator[Table]:
    with local_aws():
        make_table(make_client("dynamodb"))
        yield Table(make_client("dynamodb"), TABLE, SEAL)


@pytest.fixture
def table() -> Iterator[Table]:
    with opened() as made:
        yield made


def key(number: int) -> schema.Key:
    return schema.window_key(str(number))


def write(table: Table, now: float, **until: float | None) -> None:
    """Let rows wait until moments, in one transaction; None for one that does not wait any more."""
    keys = {schema.window_key(name.removeprefix("n")): at for name, at in until.items()}
    present = table.read(keys)
    waits = {one: None if at is None else Wait(NAME, at) for one, at in keys.items()}
    rows = [replace_row(present.get(one), one, b"{}", {}, wait) for one, wait in waits.items()]
    table.write(with_appointments(rows, now))


def names(pages: Iterable[list[Appointment]]) -> set[str]:
    return {name.removeprefix(schema.WINDOW_ROWS) for page in pages for one in page for name, _ in one.named}


def look(table: Table, now: float) -> set[str]:
    """Settle what is due, as whoever keeps the calendar does, and return it."""
    calendar, found = Calendar(table, NAME), set[str]()
    for page in calendar.due(now):
        rows = calendar.read(page)
        due = {one: row for one, row in rows.items() if (at := calendar.due_at(row, now)) is not None and at <= now}
        for one, row in due.items():
            table.write([replace_row(row, one, SETTLED, {})])
        found |= {name.removeprefix(schema.WINDOW_ROWS) for name, _ in due}
        calendar.close(page, calendar.read(page), now)
    calendar.move_on(now)
    return found


def appointments() -> list[dict[str, Any]]:
    return [row for row in all_rows() if row["pk"]["S"].startswith(schema.CALENDAR_ROWS) and row["sk"]["S"] != "cursor"]


def test_a_row_is_found_when_its_time_has_come_and_once(table: Table) -> None:
    write(table, T0, n1=T0 + 60, n2=T0 + 3 * DAY)
    assert [look(table, T0 + after) for after in (0, 59, 60, 61)] == [set(), set(), {"1"}, set()]
    assert [look(table, T0 + 3 * DAY + after) for after in (-1, 0, 1)] == [set(), {"2"}, set()]


def test_the_rows_of_a_transaction_share_an_appointment(table: Table) -> None:
    write(table, T0, n1=T0 + 60, n2=T0 + 60, n3=T0 + 120)
    assert len(appointments()) == 1


def test_a_row_that_waits_longer_needs_no_other_appointment_and_one_that_waits_shorter_does(table: Table) -> None:
    write(table, T0, n1=T0 + 60)
    write(table, T0, n1=T0 + 90)
    assert len(appointments()) == 1
    write(table, T0, n1=T0 + 30)
    assert len(appointments()) == 2
    assert look(table, T0 + 30) == {"1"}


def test_what_waits_longer_than_its_appointment_is_found_then(table: Table) -> None:
    write(table, T0, n1=T0 + 60)
    write(table, T0, n1=T0 + 5 * DAY)
    assert look(table, T0 + 61) == set()
    assert look(table, T0 + 4 * DAY) == set()
    assert look(table, T0 + 5 * DAY) == {"1"}


def test_what_does_not_wait_any_more_is_not_found_and_its_appointment_is_settled(table: Table) -> None:
    write(table, T0, n1=T0 + 60)
    write(table, T0, n1=None)
    assert look(table, T0 + 60) == set()
    assert [row["body"]["B"] for row in appointments()] == [SETTLED]


def test_what_nobody_has_settled_is_found_again_for_as_long_as_it_takes(table: Table) -> None:
    write(table, T0, n1=T0)
    for number in range(40):
        calendar = Calendar(table, NAME)
        at = T0 + number * LATE_SECONDS / 3
        pages = list(calendar.due(at))
        assert names(pages) == {"1"}
        for page in pages:
            calendar.close(page, calendar.read(page), at)
        calendar.move_on(at)
    assert look(table, T0 + 5 * DAY) == {"1"}


def test_while_appointments_cannot_be_settled_nothing_is_skipped(table: Table) -> None:
    look(table, T0)
    write(table, T0, n1=T0)

    def throttle(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems":
            reasons = [{"Code": "ThrottlingError"}]
            said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(said, "TransactWriteItems")

    for after in (0, 1, 2):
        with watching(throttle):
            assert Calendar(table, NAME).find(T0 + after * DAY, lambda row: row, 10).due
    assert look(table, T0 + 3 * DAY) == {"1"}


def test_a_failure_to_settle_keeps_back_nothing_that_was_found(table: Table) -> None:
    write(table, T0, n1=T0 + 60, n2=T0)
    write(table, T0, n1=None)

    def fail(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems")

    with watching(fail):
        found = Calendar(table, NAME).find(T0 + 60, lambda row: row, 10)
    assert len(found.due) == 1
    assert isinstance(found.failure, StoreError)


def test_with_more_than_it_is_to_find_a_look_ends_and_the_next_one_goes_on(table: Table) -> None:
    for number in range(100):
        write(table, T0, **{f"n{number}": T0 + number})
    found = [len(Calendar(table, NAME).find(T0 + 100, lambda row: row, most).due) for most in (1, 45, 1_000)]
    assert found == [40, 80, 100]
    assert look(table, T0 + DAY) == {str(number) for number in range(100)}


def test_an_appointment_that_is_stored_late_is_found(table: Table) -> None:
    look(table, T0)
    write(table, T0 - LATE_SECONDS + 1, n1=T0 - DAY)
    assert look(table, T0) == {"1"}


def test_of_what_was_settled_long_ago_nothing_is_read_again(table: Table) -> None:
    for number in range(5):
        write(table, T0 + number, **{f"n{number}": T0 + number})
    look(table, T0 + DAY)
    look(table, T0 + DAY + LATE_SECONDS)
    with watching() as calls:
        assert list(Calendar(table, NAME).due(T0 + DAY + LATE_SECONDS + 60)) == []
    assert calls.names == ["DynamoDB.BatchGetItem", "DynamoDB.Query"]


def test_who_begins_to_keep_a_calendar_looks_a_week_back(table: Table) -> None:
    write(table, T0, n1=T0)
    assert look(table, T0 + UNKNOWN_SECONDS) == {"1"}


def test_more_rows_than_a_page_of_dynamodb_has_are_all_found(table: Table) -> None:
    for number in range(100):
        write(table, T0, **{f"n{number}": T0 + number % 3})
    assert look(table, T0 + 3) == {str(number) for number in range(100)}


def test_a_clock_that_is_set_back_loses_nothing(table: Table) -> None:
    look(table, T0 + DAY)
    write(table, T0, n1=T0 + 60)
    assert look(table, T0 + 60) == {"1"}


def test_what_a_clock_that_was_wrong_has_put_before_the_cursor_is_found_within_a_day(table: Table) -> None:
    for at in (T0, T0 + 600):
        look(table, at)
    write(table, T0 - DAY, n1=T0 - DAY + 60)
    assert [look(table, T0 + 700), look(table, T0 + DAY)] == [set(), {"1"}]


def test_a_row_that_waits_longer_than_any_is_due(table: Table) -> None:
    write(table, T0, n1=T0)
    write(table, T0, n1=T0 + 10 * DAY)
    assert Calendar(table, NAME, DAY).due_at(table.read([key(1)])[key(1)], T0) == T0


def test_whoever_lists_the_rows_without_the_key_finds_no_clear_name(table: Table) -> None:
    write(table, T0, n1=T0)
    partitions = {row["pk"]["S"] for row in appointments()}
    assert partitions == {SEAL.name(schema.calendar_key(NAME, T0))}
    assert not any(NAME in name or str(int(T0 // schema.WEEK_SECONDS)) in name for name in partitions)


@contextmanager
def seen_item_by_item(client: Any, meanwhile: Callable[[], object]) -> Iterator[None]:
    """Let a query and a batch see the appointments of a transaction while its other rows are still on their way.

    Beside a transaction both are read-committed, and TransactGetItems fails (DynamoDB guide, "Isolation levels").
    """
    write_items, get_items = client.transact_write_items, client.transact_get_items

    def is_appointment(part: Any) -> bool:
        return bool(part["Put"]["Item"]["pk"]["S"].startswith(schema.CALENDAR_ROWS))

    def call(*, TransactItems: list[Any]) -> Any:  # noqa: N803 - DynamoDB's name
        rest = [part for part in TransactItems if not is_appointment(part)]
        under_way = [part["Put"]["Item"]["pk"] for part in rest]

        def get(*, TransactItems: list[Any]) -> Any:  # noqa: N803 - DynamoDB's name
            if any(part["Get"]["Key"]["pk"] in under_way for part in TransactItems):
                reasons = [{"Code": "TransactionConflict"}]
                said: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
                raise ClientError(said, "TransactGetItems")
            return get_items(TransactItems=TransactItems)

        write_items(TransactItems=list(filter(is_appointment, TransactItems)))
        with (
            mock.patch.object(client, "transact_write_items", write_items),
            mock.patch.object(client, "transact_get_items", get),
        ):
            meanwhile()
        return write_items(TransactItems=rest)

    with mock.patch.object(client, "transact_write_items", call):
        yield


def test_a_look_while_a_transaction_becomes_visible_loses_nothing(table: Table) -> None:
    with seen_item_by_item(make_client("dynamodb"), lambda: look(table, T0)):
        write(table, T0, n1=T0)
    assert look(table, T0 + DAY) == {"1"}


def test_what_was_settled_a_moment_ago_costs_few_calls(table: Table) -> None:
    for number in range(400):
        write(table, T0, **{f"n{number}": T0})
    look(table, T0)
    with watching() as calls:
        look(table, T0 + 60)
    assert calls.names.count("DynamoDB.Query") <= 2


def test_a_backlog_that_stays_costs_no_more_with_time(table: Table) -> None:
    for number in range(60):
        write(table, T0, **{f"n{number}": T0})
    rows = []
    for half_hours in range(1, 6):
        at = T0 + half_hours * (LATE_SECONDS + 1)
        for number in range(20):
            write(table, at - 1, **{f"n{1_000 * half_hours + number}": at - 1})
            write(table, at - 1, **{f"n{1_000 * half_hours + number}": None})
        Calendar(table, NAME).find(at, lambda row: row, 50)
        rows.append(sum(1 for page in Calendar(table, NAME).due(at + 1) for _ in page))
    assert rows[-1] <= rows[0] + 20


moments = st.integers(0, 40).map(lambda number: number * 450.0)
acts = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3), moments | st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 60.0, 1_000.0, 90_000.0])),
    st.tuples(st.just("look")),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(acts, max_size=25))
def test_whatever_happens_in_whatever_order_exactly_what_is_due_is_found(sequence: list[Any]) -> None:
    waiting, now = dict[str, float](), T0
    with opened() as table:
        for act, *given_ in [("look",), *sequence, ("look",), ("wait", 10 * DAY), ("look",)]:
            if act == "wait":
                now += given_[0]
            elif act == "write":
                number, after = given_
                write(table, now, **{f"n{number}": None if after is None else now + after})
                waiting.pop(str(number), None)
                if after is not None:
                    waiting[str(number)] = now + after
            else:
                due = {name for name, at in waiting.items() if at <= now}
                assert look(table, now) == due
                waiting = {name: at for name, at in waiting.items() if name not in due}


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), moments), max_size=12), st.data())
def test_writers_and_keepers_that_disturb_each_other_lose_nothing(written: list[Any], data: st.DataObject) -> None:
    """Another process keeps the calendar between any two calls of ours."""
    with opened() as table:
        other = Table(make_client("dynamodb"), TABLE, SEAL)
        found, busy, original = set[str](), False, Table.read

        def read(self: Table, keys: Any) -> Any:
            nonlocal busy
            rows = original(self, keys)
            if self is table and not busy and data.draw(st.booleans()):
                busy = True
                found.update(look(other, T0))
                busy = False
            return rows

        with mock.patch.object(Table, "read", read):
            for number, after in written:
                for _ in range(20):
                    with suppress(Conflict):
                        write(table, T0, **{f"n{number}": T0 + after})
                        break
        found |= look(table, T0 + DAY)
    assert found == {str(number) for number, _ in written}
