"""What the witness judges of a change of the table: nothing that Vaultwatch does, and everything that others do."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.dynamodb import SEAL, TABLE, all_rows, changes
from tests.unit.store.alerts import a_filing, record
from tests.unit.store.changing import T0, Changing, Row, changing
from tests.unit.store.test_expectations import expected
from vaultwatch.dispatch.groups import group_key
from vaultwatch.errors import StreamError
from vaultwatch.seals import Seal
from vaultwatch.store.dynamodb.changes import LATE_SECONDS, judge, read_change
from vaultwatch.store.dynamodb.schema import FORMER_MARKS, SEALED_MARKS, WRITTEN
from vaultwatch.store.dynamodb.sent import SentNotifications
from vaultwatch.store.dynamodb.table import SETTLED_SECONDS, mark_of

DAY = 86_400.0


@pytest.fixture
def table() -> Iterator[Changing]:
    with changing() as made:
        yield made


def a_day(table: Changing) -> None:
    """Let our code do everything that it does to rows."""
    store = table.store
    for hour in range(4):
        filings = [a_filing(f"{hour}-{n}", principal=f"p{n % 2}", path=f"{n % 3}", same_as=("x",)) for n in range(6)]
        filings += [a_filing(f"{hour}-late", outcome="unknown"), a_filing(f"{hour}-c", remote_address=f"10.0.0.{hour}")]
        sent = store.file(filings, table.now).notifications
        store.mark_sent([one.id for one in sent[1:]], "sns", table.now)
        record(store, [a_filing(f"{hour}-late", outcome="succeeded")], table.now)
        store.put_off(sent[0].id, "sns", table.now + 60)
        for sink in ("sns", "history"):
            store.mark_sent([one.notification.id for one in store.unsent(sink, table.now)], sink, table.now)
        table.expectations.expect([event := expected(table.now)], table.now + 9 * DAY)
        table.memory.remember(["one", f"{hour}"], table.now + 90 * DAY)
        table.counts.add("w", [1, 2, hour], [hour], table.now + 3600)
        store.live_since({"rule": f"{hour // 2}"}, table.now)
        for _ in range(70):
            table.now += 60
            store.settle(table.now)
        table.expectations.settle_due(event, table.now + DAY)
        table.expire()
    table.counts.mark_reached("w")
    SentNotifications(table.client, TABLE, "slack").add("n", table.now)
    table.now += 400 * DAY
    table.expire()


def test_a_day_of_our_own_is_silent(table: Changing) -> None:
    a_day(table)
    assert table.judged() == []
    names = {record["eventName"] for record in changes()}
    assert names == {"INSERT", "MODIFY", "REMOVE"}
    assert {row["sk"]["S"] for row in all_rows()} == {"held", "limit"}


def repeats(table: Changing) -> Row:
    """Count three repeats in a window, and return its row."""
    record(table.store, [a_filing(f"e{n}") for n in range(4)], table.now)
    assert table.judged() == []
    return table.row("window")


def what(table: Changing) -> list[str]:
    return [one.what for one in table.judged()]


def test_a_row_that_somebody_deletes_is_reported_with_what_it_counted(table: Changing) -> None:
    table.delete(repeats(table))
    [judgement] = table.judged()
    assert judgement.what == "deleted"
    text = str(judgement)
    assert f"3 repeats of rule audit_root_policy_used in group {group_key(a_filing().alert)}" in text
    assert "alice" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("held", "2 alerts of rule audit_root_policy_used in the groups "),
        ("sink#sns", "first of rule audit_root_policy_used"),
        ("expected", "an event that rule missing expects of ['prod']"),
        ("limit", "limit"),
    ],
)
def test_what_is_lost_is_said_for_every_kind_of_row(table: Changing, kind: str, lost: str) -> None:
    for number in range(3):
        record(table.store, [a_filing(f"e{number}", path=f"{number}")], table.now)
    table.expectations.expect([expected(T0)], table.now + DAY)
    table.delete(next(row for row in all_rows() if row["sk"]["S"] == kind))
    [judgement] = table.judged()
    assert lost in str(judgement)


def overwritten(row: Row) -> Row:
    return {**row, "body": {"B": b"{}"}}


def unlisted(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("due_kind", "due_at", "unsent_sink")}


def unsealed(row: Row) -> Row:
    return {name: row[name] for name in row if name != "seal"}


def later(row: Row) -> Row:
    return {**row, "written": {"N": str(int(row["written"]["N"]) + 1)}}


def without_time(row: Row) -> Row:
    return {name: row[name] for name in row if name != "written"}


def with_garbage(row: Row) -> Row:
    nested: Any = {"L": [{"M": {"\u202e\n": {"NULL": True}}}]}
    return {**{name: row[name] for name in ("pk", "sk")}, "body": nested, "seal": {"N": "1"}, "written": {"BOOL": True}}


FORGERIES = (overwritten, unlisted, unsealed, later, without_time, with_garbage)


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("kind", ["window", "held", "sink#sns", "alert", "limit"])
def test_a_row_that_somebody_writes_over_is_reported(table: Changing, forgery: Callable[[Row], Row], kind: str) -> None:
    repeats(table)
    row = next(row for row in all_rows() if row["sk"]["S"] == kind)
    if forgery(row) == row:
        pytest.skip("the row has no mark of an index")
    table.put(forgery(row))
    [judgement] = table.judged()
    assert judgement.what == "written by somebody else"
    assert judgement.lost
    table.put(overwritten(row))
    assert len(table.judged()) == (forgery is not overwritten)


@pytest.mark.parametrize("mark", ["not_before", "attempts", "created_at", "unsent_order"])
def test_a_notification_that_somebody_puts_off_is_reported(table: Changing, mark: str) -> None:
    repeats(table)
    row = next(row for row in all_rows() if row["sk"]["S"] == "sink#sns")
    table.put({**row, mark: {"N": str(float(row[mark]["N"]) + 1800)}})
    assert what(table) == ["written by somebody else"]


def test_a_row_of_nobody_is_reported_and_its_replacement_is_not(table: Changing) -> None:
    row = repeats(table)
    table.store.settle(table.now + DAY)
    assert what(table) == []
    table.put(
        {"pk": {"S": "group#" + "0" * 32}, "sk": {"S": "window"}, "due_kind": row["due_kind"], "due_at": row["due_at"]}
    )
    [judgement] = table.judged()
    assert (judgement.what, judgement.lost) == ("written by somebody else", "")
    table.store.settle(table.now + DAY)
    assert [(row["body"]["B"], what(table)) for row in all_rows() if row["pk"]["S"] == "group#" + "0" * 32] == [
        (b"removed", [])
    ]


def test_an_earlier_row_that_is_put_back_is_reported(table: Changing) -> None:
    record(table.store, [a_filing("e0")], table.now)
    earlier = table.row("window")
    repeats(table)
    table.put(earlier)
    [judgement] = table.judged()
    assert judgement.what == "put back"
    assert "3 repeats" in judgement.lost or "4 repeats" in judgement.lost


def test_so_is_one_of_which_the_repeats_were_settled(table: Changing) -> None:
    row = repeats(table)
    table.now += 1000
    table.store.settle(table.now)
    assert what(table) == []
    table.put(row)
    assert what(table) == ["put back"]


def test_a_row_that_is_put_back_after_it_expired_is_reported(table: Changing) -> None:
    row = repeats(table)
    table.now += 1000
    table.store.settle(table.now)
    table.now += SETTLED_SECONDS + 1
    table.expire()
    assert what(table) == []
    table.put(row)
    assert what(table) == ["put back"]


def test_of_a_row_that_was_deleted_the_deletion_is_reported_even_if_it_is_put_back_at_once(table: Changing) -> None:
    row = repeats(table)
    table.delete(row)
    table.put(row)
    assert what(table) == ["deleted"]


def test_a_row_that_dynamodb_deletes_before_its_time_is_reported(table: Changing) -> None:
    row = repeats(table)
    [inserted] = [
        one for one in changes() if one["dynamodb"]["Keys"]["pk"] == row["pk"] and one["eventName"] == "INSERT"
    ]
    by_dynamodb = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    removed = {**inserted, "eventName": "REMOVE", "userIdentity": by_dynamodb}
    removed["dynamodb"] = {**removed["dynamodb"], "OldImage": inserted["dynamodb"]["NewImage"]}
    del removed["dynamodb"]["NewImage"]
    judgement = judge(SEAL, read_change(removed))
    assert judgement
    assert judgement.what == "deleted"


@pytest.mark.parametrize(
    ("identity", "reported"),
    [
        ({"type": "Service", "principalId": "dynamodb.amazonaws.com"}, []),
        ({"type": "Service", "principalId": "dynamodb.amazonaws.com", "more": 1}, []),
        ({"type": "Service", "principalId": "another.amazonaws.com"}, ["deleted"]),
        ({"principalId": "dynamodb.amazonaws.com"}, ["deleted"]),
        ({}, ["deleted"]),
        (None, ["deleted"]),
    ],
)
def test_only_dynamodb_itself_may_delete_what_is_expired(table: Changing, identity: Any, reported: list[str]) -> None:
    table.memory.remember(["name"], table.now + 60)
    table.now += 61
    table.expire()
    found = [judge(SEAL, read_change({**record, "userIdentity": identity})) for record in changes()]
    assert [one.what for one in found if one] == reported


def test_two_functions_that_write_the_same_at_once_are_silent(table: Changing) -> None:
    """Their clocks differ by some ms, and neither reads what the other has written."""
    record(table.store, [a_filing("e")], table.now)
    for moment in (table.now + 10, table.now + 10 - 0.05):
        table.now, other = moment, Changing(table.client, moment)
        other.memory.remember(["name"], moment + DAY)
        other.store.mark_sent([a_filing("e").alert.id], "sns", moment)
    assert what(table) == []


def test_a_function_with_a_slower_clock_writes_later_than_what_it_has_read(table: Changing) -> None:
    repeats(table)
    table.now -= 2
    slower = Changing(table.client, table.now)
    record(slower.store, [a_filing("e8", remote_address="198.51.100.9"), a_filing("e9", path="another")], table.now)
    slower.store.put_off(a_filing("e0").alert.id, "sns", table.now + 60)
    slower.store.settle(table.now + 4000)
    assert what(table) == []
    assert {record["eventName"] for record in changes()} == {"INSERT", "MODIFY"}


def former(row: Row) -> Row:
    """A row as an earlier version wrote it."""
    old = {name: row[name] for name in row if name != "written"}
    marks = {name: mark_of(old, name) for name in FORMER_MARKS if name in old}
    return {**old, "seal": {"B": SEAL.of((row["pk"]["S"], row["sk"]["S"]), row["body"]["B"], marks)}}


def test_rows_of_an_earlier_version_are_valid_until_they_are_written_again(table: Changing) -> None:
    repeats(table)
    old = [former(row) for row in all_rows()]
    for row in old:
        table.delete(row)
    table.judged()
    for row in old:
        table.put(row)
        table.put(former({**row, "body": {"B": b"{}"}}))
        table.put(row)
    assert what(table) == []
    record(table.store, [a_filing("e9", remote_address="198.51.100.9")], table.now + 1)
    assert [one.notification.rule for one in table.store.unsent("sns", table.now + 60)] == ["audit_root_policy_used"]
    [summary] = table.store.settle(table.now + 4000)
    assert summary.merged_count == 4
    assert what(table) == []
    for row in old:
        if row["sk"]["S"] in ("window", "held"):
            table.put(row)
            assert what(table) == ["put back"]


def test_a_record_that_comes_again_is_judged_alike(table: Changing) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    table.delete(row)
    table.now += 2 * LATE_SECONDS
    table.put(row)
    once, again = ([judge(SEAL, read_change(one)) for one in changes()] for _ in range(2))
    assert once == again
    assert [one.what for one in once if one] == ["written by somebody else", "put back"]


@pytest.mark.parametrize("named", [lambda row: row, lambda row: {**row, "pk": {"S": "group#" + "1" * 32}}])
def test_a_row_with_the_seal_of_another_key_or_another_row_is_reported(table: Changing, named: Any) -> None:
    row = named(repeats(table))
    seal = SEAL if row["pk"]["S"].endswith("1" * 32) else Seal("a guess")
    marks = {name: mark_of(row, name) for name in SEALED_MARKS if name in row}
    key = ("group#" + "2" * 32, "window") if seal is SEAL else (row["pk"]["S"], "window")
    table.put({**row, "seal": {"B": seal.of(key, row["body"]["B"], marks)}})
    assert what(table) == ["written by somebody else"]


class TestSharedCounts:
    """They have no seal, and only grow."""

    @pytest.fixture
    def row(self, table: Changing) -> Row:
        table.counts.add("w", [1, 2], [3], table.now + 3600)
        table.counts.mark_reached("w")
        assert table.judged() == []
        return table.row("count")

    def test_elements_that_are_removed_are_reported(self, table: Changing, row: Row) -> None:
        table.put({**row, "hashes": {"BS": row["hashes"]["BS"][:1]}})
        assert what(table) == ["taken from"]

    def test_so_is_that_the_threshold_was_reached(self, table: Changing, row: Row) -> None:
        table.put({name: value for name, value in row.items() if name != "reached"})
        assert what(table) == ["taken from"]

    def test_so_is_a_threshold_that_was_not(self, table: Changing) -> None:
        table.counts.add("w", [1, 2], [3], table.now + 3600)
        table.put({**table.row("count"), "reached": {"B": b"0" * 16}})
        assert what(table) == ["written by somebody else"]

    def test_so_is_an_earlier_expiry(self, table: Changing, row: Row) -> None:
        table.put({**row, "expires_at": {"N": "1"}})
        assert what(table) == ["taken from"]

    def test_so_is_a_deletion(self, table: Changing, row: Row) -> None:
        table.delete(row)
        assert what(table) == ["deleted"]

    def test_sets_of_another_type_are_no_sets(self, table: Changing, row: Row) -> None:
        table.put({**row, "halves": {"L": [{"NULL": True}]}})
        assert what(table) == ["taken from"]


BROKEN: dict[str, Callable[[Any], Any]] = {
    "no record": lambda record: None,
    "nothing": lambda record: {},
    "no row": lambda record: {**record, "dynamodb": {"ApproximateCreationDateTime": 1}},
    "no time": lambda record: {**record, "dynamodb": {"NewImage": record["dynamodb"]["NewImage"]}},
    "a list": lambda record: {**record, "dynamodb": {**record["dynamodb"], "NewImage": []}},
    "an identity of another type": lambda record: {**record, "userIdentity": 1},
    "no key": lambda record: {**record, "dynamodb": {**record["dynamodb"], "NewImage": {"a": {"S": "b"}}}},
    "no base64": lambda record: {
        **record,
        "dynamodb": {**record["dynamodb"], "NewImage": {**record["dynamodb"]["NewImage"], "body": {"B": "\u20ac"}}},
    },
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_record_that_cannot_be_read_says_so(table: Changing, broken: str) -> None:
    repeats(table)
    record = copy.deepcopy(changes()[0])
    with pytest.raises(StreamError, match="stream"):
        read_change(BROKEN[broken](record))


def test_a_row_of_ours_whose_content_cannot_be_read_is_reported_as_such(table: Changing) -> None:
    """As another version may have written it."""
    key, at = ("group#" + "0" * 32, "window"), T0
    body, marks = b"[]", {WRITTEN: at * 1000}
    image = {
        "pk": {"S": key[0]},
        "sk": {"S": key[1]},
        "body": {"B": base64.b64encode(body).decode()},
        "seal": {"B": base64.b64encode(SEAL.of(key, body, marks)).decode()},
        "written": {"N": str(int(at * 1000))},
    }
    change = read_change({"dynamodb": {"ApproximateCreationDateTime": at, "SequenceNumber": "1", "OldImage": image}})
    assert "its content cannot be read" in str(judge(SEAL, change))
