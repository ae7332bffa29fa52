"""Rows that Vaultwatch did not write hold back no alert: they are treated as missing, and replaced.

Those that it might have sealed, with a content that it does not write, come from code that runs in a function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table
from tests.unit.store.alerts import a_filing, an_alert, record
from tests.unit.store.test_expectations import expected
from vaultwatch.dispatch.drafts import head_of
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED
from vaultwatch.dispatch.routes import Route
from vaultwatch.dispatch.soundness import is_sound
from vaultwatch.rules.facts import Level
from vaultwatch.seals import Seal, foreign_rows
from vaultwatch.store.dynamodb import schema
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.dynamodb.expectations import DynamoExpectations
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.dynamodb.rows import read_held
from vaultwatch.store.dynamodb.schema import SEAL as SEAL_MARK
from vaultwatch.store.dynamodb.schema import SEALED_MARKS, held_key

T0 = 1_700_000_000.0
TOPIC = (Route("sns", ALL_DISPOSITIONS, Level.INFORMATIONAL),)
Row = dict[str, Any]


def another_key(row: Row) -> Row:
    """A body that belongs to another row, with its seal."""
    kind = row["sk"]["S"]
    other = next((one for one in ORIGINAL if one["sk"]["S"] == kind and one["pk"] != row["pk"]), row)
    return {**row, "body": other["body"], SEAL_MARK: other.get(SEAL_MARK, row.get(SEAL_MARK))}


def forged(change: Callable[[Any], Any]) -> Callable[[Row], Row]:
    """A body that can be read, with the seal that belongs to it and the names that belong to its key."""

    def of(row: Row) -> Row:
        try:
            body = msgspec.json.encode(changed(msgspec.json.decode(row["body"]["B"]), change))
        except msgspec.DecodeError:  # an alert, compressed
            return row
        return sealed({**row, "body": {"B": body}})

    return of


def sealed(row: Row, seal: Seal = SEAL) -> Row:
    """A row with the seal that belongs to what it is."""
    found = {name: row[name] for name in SEALED_MARKS if name in row}
    values = {name: float(value["N"]) for name, value in found.items()}
    key = row["pk"]["S"], row["sk"]["S"]
    return {**row, SEAL_MARK: {"B": seal.of(key, row["body"]["B"], values)}}


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change every part of a JSON value but the names of rules, groups, families and notifications."""
    if isinstance(value, dict):
        kept = ("rule", "group", "family", "id", "level", "service", "disposition")
        return change({name: part if name in kept else changed(part, change) for name, part in value.items()})
    return change([changed(part, change) for part in value] if isinstance(value, list) else value)


def number(value: float) -> Callable[[Row], Row]:
    return forged(lambda part: value if isinstance(part, int | float) else part)


def marks(value: str) -> Callable[[Row], Row]:
    """The numbers beside the body, by which indexes and the expiry find a row."""
    return lambda row: sealed(with_marks(row, value))


def with_marks(row: Row, value: str) -> Row:
    return {name: {"N": value} if "N" in part else part for name, part in row.items()}


def with_checksum(row: Row) -> Row:
    """What was a valid row before there were seals."""
    return {**without_seal(row), "version": {"B": hashlib.sha256(row["body"]["B"]).digest()[:16]}}


def without_seal(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != SEAL_MARK}


ORIGINAL: list[Row] = []
BESIDE_CALENDARS = tuple(
    kind for name, kind in vars(schema).items() if name.endswith("_ROWS") and kind != schema.CALENDAR_ROWS
)
FORGERIES: dict[str, Callable[[Row], Row]] = {
    "no body": lambda row: {name: value for name, value in row.items() if name != "body"},
    "an empty body": lambda row: {**row, "body": {"B": b""}},
    "a body of another type": lambda row: {**row, "body": {"S": "{}"}},
    "garbage": lambda row: {**row, "body": {"B": b"\x00garbage"}},
    "nesting": lambda row: {**row, "body": {"B": b"[" * 100_000}},
    "another body": lambda row: {**row, "body": {"B": b"{}"}},
    "a wrong seal": lambda row: {**row, SEAL_MARK: {"B": b"0" * 16}},
    "a seal of another type": lambda row: {**row, SEAL_MARK: {"S": "0" * 16}},
    "no seal": without_seal,
    "a checksum": with_checksum,
    "the seal of another key": lambda row: sealed(row, Seal("a guess")),
    "other marks": lambda row: with_marks(row, str(2 * T0)),
    "an expiry of another type": lambda row: {**row, **({"expires_at": {"BOOL": True}} if "expires_at" in row else {})},
    "the body of another row": another_key,
    "the largest number of JSON": number(2**64 - 1),
    "times that no database accepts": number(-1e300),
    "times to come": number(int(2 * T0)),
    "the largest marks of DynamoDB": marks("9.9E+125"),
    "marks to come": marks(str(2 * T0)),
    "a count of nothing": forged(lambda part: {} if isinstance(part, dict) and "succeeded" in part else part),
}


@pytest.fixture
def client() -> Iterator[Any]:
    with local_aws():
        made = make_client("dynamodb")
        make_table(made)
        yield made


@pytest.fixture
def store(client: Any) -> DynamoStore:
    return DynamoStore(client, TABLE, SEAL, TOPIC, sleep=lambda seconds: None)


def forge(client: Any, forgery: str, rows: tuple[str, ...] = BESIDE_CALENDARS) -> None:
    """Change every row of these kinds."""
    ORIGINAL[:] = [row for row in all_rows() if row["pk"]["S"].startswith(rows)]
    for row in ORIGINAL:
        client.put_item(TableName=TABLE, Item=FORGERIES[forgery](row))


def some(at: float, store: DynamoStore, first: int) -> None:
    record(store, [a_filing(f"e{first + n}", principal=f"p{n % 2}", same_as=("other",)) for n in range(4)], at)
    record(store, [a_filing(f"held{first}", principal="p0", path="other")], at + 1)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_the_rows_contain_new_alerts_are_stored_and_notified(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    some(T0, store, 0)
    forge(client, forgery)
    filed = store.file([a_filing(f"n{n}", principal=f"p{n % 2}", same_as=("other",)) for n in range(4)], T0 + 3600)
    assert all(one.new for one in filed.recorded)
    assert {alert.event_key for one in filed.notifications for alert in one.alerts} == {f"n{n}" for n in range(4)}
    assert record(store, [a_filing("held", principal="p0", path="third")], T0 + 3601)[0].new


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_the_rows_contain_an_alert_that_may_have_to_wait_is_notified_within_a_minute(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    some(T0, store, 0)
    forge(client, forgery)
    filed = store.file([a_filing("also", principal="p0", path="third")], T0 + 2)
    summary = [alert for one in store.settle(T0 + 62) for merged in one.merged for alert in merged.alerts]
    at_once = [alert for one in filed.notifications for alert in one.alerts if one.disposition == "first"]
    assert "also" in {alert.event_key for alert in (*at_once, *summary)}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_the_rows_contain_what_is_due_and_unsent_is_returned(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    some(T0, store, 0)
    forge(client, forgery)
    some(T0 + 60, store, 10)
    settled = store.settle(T0 + 8000)
    unsent = store.unsent("sns", T0 + 8000, limit=100)
    people = [one for one in [*settled, *(one.notification for one in unsent)] if one.disposition in NOTIFIED]
    assert people
    assert msgspec.json.encode(people)


@pytest.mark.parametrize("forgery", ["times to come", "the largest marks of DynamoDB", "marks to come"])
def test_no_number_puts_off_a_notification_or_the_completion_of_an_alert(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    (first,) = store.file([a_filing("e", outcome="unknown")], T0).notifications
    forge(client, forgery)
    assert [one.notification.id for one in store.unsent("sns", T0 + 60, age_seconds=60)] == [first.id]
    store.put_off(first.id, "sns", T0 + 3600)
    assert store.unsent("sns", T0 + 61) == []
    assert len(store.unsent("sns", T0 + 3600)) == 1
    (completed,) = store.file([a_filing("e", outcome="succeeded")], T0 + 1).recorded
    assert completed.completed


def test_foreign_rows_that_an_appointment_names_hold_nothing_back_and_are_found_once(
    client: Any, store: DynamoStore
) -> None:
    expectations = DynamoExpectations(client, TABLE, SEAL)
    expectations.expect([expected(T0)], T0)
    (first, _) = store.file([a_filing("e1"), a_filing("e2", rule="other")], T0).notifications
    kept = schema.CALENDAR_ROWS, schema.ALERT_ROWS, SEAL.name(schema.delivery_key(first.id, "sns")[0])
    for row in all_rows():
        if not row["pk"]["S"].startswith(kept):
            client.put_item(TableName=TABLE, Item=without_seal(row))
    foreign_rows.taken()
    for at in (T0 + 86_400, T0 + 86_460):
        assert first.id in [one.notification.id for one in store.unsent("sns", at)]
        assert store.settle(at) == []
        assert expectations.due(at + 86_400) == []
        assert (foreign_rows.taken() > 0) == (at == T0 + 86_400)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_a_calendar_contains_what_is_overdue_comes_with_the_next_alert_of_its_rule(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    """Nobody can name a row of a calendar without the key."""
    some(T0, store, 0)
    forge(client, forgery, (schema.CALENDAR_ROWS,))
    store.settle(T0 + 62)
    filed = store.file([a_filing("new", principal="p2", path="third")], T0 + 1_000)
    made = [*filed.notifications, *store.settle(T0 + 1_000)]
    counted = [alert.event_key for one in made for merged in one.merged for alert in merged.alerts]
    assert "new" in {alert.event_key for one in made for alert in one.alerts}
    assert "held0" in counted or store.settle(T0 + 62) == []


def test_an_earlier_row_that_is_put_back_suppresses_for_its_own_time_only(client: Any, store: DynamoStore) -> None:
    memory = DynamoMemory(client, TABLE, SEAL)
    record(store, [a_filing("e", principal="p0", path="other")], T0)
    memory.remember(["name"], T0 + 100)
    earlier = all_rows()
    later = T0 + 90 * 86_400 + 1
    memory.remember(["name"], later + 100)
    record(store, [a_filing("f", principal="p0", path="other")], later - 60)
    for row in earlier:
        client.put_item(TableName=TABLE, Item=row)
    filed = store.file([a_filing("e", principal="p0", path="other")], later)
    assert [one.id for one in filed.notifications if one.disposition == "first"] == [filed.recorded[0].alert_id]
    assert memory.seen(["name"], later) == {}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whatever_the_rows_contain_no_rule_is_live_later_than_before(
    client: Any, store: DynamoStore, forgery: str
) -> None:
    """A rule that is live from now on learns what is usual, and raises no alert on it."""
    store.live_since({"rule": "1"}, T0)
    forge(client, forgery)
    since = store.live_since({"rule": "1"}, T0 + 10)["rule"]
    assert since in (T0, T0 + 10) if forgery in SEALED else since in (0.0, T0)


SEALED = {"the largest number of JSON", "times that no database accepts", "times to come"}


def test_a_row_larger_than_any_that_dispatch_makes_is_not_read() -> None:
    """Otherwise the next alert that it has to hold would make it larger than DynamoDB allows."""
    alert = an_alert()
    held = Held(head_of(alert), notified=(("x" * 300, T0),) * 1_000)
    body, (pk, sk) = msgspec.json.encode(held), held_key(alert.rule)
    row = {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"B": body}}
    assert is_sound(held)
    assert read_held(row) is None
