"""What the witness restores of the rows that somebody has altered, and what it says to be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.dynamodb import SEAL, TABLE, all_rows
from tests.unit.store.alerts import a_filing, record
from tests.unit.store.changing import Changing, Row, changing
from tests.unit.store.test_changes import FORGERIES, former, overwritten, repeats, unlisted
from tests.unit.store.test_changes_property import DAY, close, key, put_off, rows
from tests.unit.store.test_expectations import expected
from vaultwatch.dispatch.drafts import Draft
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.notification import Notification
from vaultwatch.rules.facts import Level
from vaultwatch.store.dynamodb.changes import Judgement
from vaultwatch.store.dynamodb.restoring import GIVE_UP_SECONDS, restore
from vaultwatch.store.dynamodb.table import EMPTY, Table, body_of, is_sealed

SAYS = ("body", "due_kind", "due_at", "unsent_sink", "unsent_order", "not_before", "attempts", "created_at")


@pytest.fixture
def table() -> Iterator[Changing]:
    with changing() as made:
        yield made


def listed(table: Changing) -> dict[str, Row]:
    """Make a row of each kind that an index shows, and return them by kind."""
    for number in range(3):
        record(table.store, [a_filing(f"e{number}", path=f"{number}")], table.now)
    record(table.store, [a_filing(f"again{n}", path="0") for n in range(2)], table.now)
    table.store._crowded_until = table.now + 60
    record(table.store, [a_filing("crowd", path="crowd")], table.now)
    table.expectations.expect([expected(table.now)], table.now + DAY)
    assert table.witness() == []
    found = [row for row in all_rows() if "due_kind" in row or "unsent_sink" in row]
    return {row["sk"]["S"]: row for row in found}


def says(row: Row) -> dict[str, Any]:
    return {name: float(row[name]["N"]) if "N" in row[name] else row[name] for name in SAYS if name in row}


KINDS = ("window", "held", "added", "sink#sns", "expected")


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_somebody_writes_over_is_restored(table: Changing, forgery: Callable[[Row], Row], kind: str) -> None:
    row = listed(table)[kind]
    table.put(forgery(row))
    table.now += 5
    [judgement] = table.witness()
    assert judgement.became == "restored"
    assert "restored is " in str(judgement)
    again = rows()[key(row)]
    assert says(again) == says(row)
    assert is_sealed(SEAL, again)
    assert table.witness() == []  # what it does is its own


@pytest.mark.parametrize("kind", KINDS)
def test_so_is_one_that_somebody_deletes(table: Changing, kind: str) -> None:
    row = listed(table)[kind]
    table.delete(row)
    assert [one.became for one in table.witness()] == ["restored"]
    assert says(rows()[key(row)]) == says(row)
    assert table.witness() == []


def test_so_is_one_instead_of_which_somebody_puts_an_earlier_one(table: Changing) -> None:
    record(table.store, [a_filing("e0")], table.now)
    earlier = table.row("window")
    row = repeats(table)
    table.put(earlier)
    assert [one.became for one in table.witness()] == ["restored"]
    assert says(rows()[key(row)]) == says(row)
    assert table.witness() == []


def test_what_vaultwatch_has_written_since_stays_and_what_was_there_is_named(table: Changing) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    record(table.store, [a_filing("e9", remote_address="198.51.100.9")], table.now)
    written = rows()[key(row)]
    [judgement] = table.witness()
    assert "lost is window: 3 repeats" in str(judgement)
    assert rows()[key(row)] == written


def test_what_digest_settles_because_it_is_foreign_is_restored(table: Changing) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    table.store.settle(table.now + DAY)
    assert body_of(rows()[key(row)]) in EMPTY
    assert [one.became for one in table.witness()] == ["restored"]
    assert says(rows()[key(row)]) == says(row)


def test_a_row_that_a_function_has_found_foreign_and_takes_away_once_it_is_restored_is_restored_again(
    table: Changing,
) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    found = Table(table.client, TABLE, SEAL).read_found([row])
    table.witness()
    Table(table.client, TABLE, SEAL).settle_foreign(found)
    [judgement] = table.witness()
    assert (judgement.what, judgement.became) == ("taken for a foreign one", "restored")
    assert says(rows()[key(row)]) == says(row)
    assert table.witness() == []


def test_a_row_that_a_function_has_found_foreign_and_writes_over_once_it_is_restored_is_named(
    table: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    write = Table.write

    def late(of: Table, actions: Any) -> None:
        table.witness()  # between what `file` reads and what it writes
        write(of, actions)

    with monkeypatch.context() as patched:
        patched.setattr(Table, "write", late)
        record(table.store, [a_filing("e9", remote_address="198.51.100.9")], table.now)
    [judgement] = table.witness()
    assert (judgement.what, judgement.became) == ("taken for a foreign one", "lost")
    assert "lost is window: 3 repeats" in str(judgement)


def test_somebody_who_writes_over_it_again_and_again_is_reported_each_time_and_has_it_restored(table: Changing) -> None:
    row = repeats(table)
    for number in range(20):
        table.put({**overwritten(row), "number": {"N": str(number)}})
        table.put({**unlisted(row), "number": {"N": str(number)}})
        table.now += 5
        assert [one.became for one in table.witness() if one.lost] == ["restored"]
    assert says(rows()[key(row)]) == says(row)


def test_a_change_that_is_judged_again_changes_nothing(table: Changing) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    judgements = table.judged()
    one = Table(table.client, TABLE, SEAL)
    for _ in range(2):
        [done] = restore(one, SEAL, judgements, table.now, lambda: True)
        assert done.became == "restored"
        put = rows()[key(row)]
    assert rows()[key(row)] == put
    table.store.settle(table.now + DAY)
    settled = rows()[key(row)]
    restore(one, SEAL, judgements, table.now, lambda: True)
    assert rows()[key(row)] == settled


@pytest.mark.parametrize("kind", ["alert", "limit"])
def test_what_no_index_shows_is_not_restored_but_named(table: Changing, kind: str) -> None:
    repeats(table)
    row = next(row for row in all_rows() if row["sk"]["S"] == kind)
    table.put(overwritten(row))
    [judgement] = table.witness()
    assert judgement.became == "lost"
    assert rows()[key(row)] == overwritten(row)


def test_a_row_of_a_former_version_is_neither_restored_nor_replaced(table: Changing) -> None:
    row = repeats(table)
    table.put(former(overwritten(row)))
    assert [one.became for one in table.witness()] == ["lost"]
    table.put(unlisted(overwritten(row)))
    assert [one.became for one in table.witness()] == ["lost"]
    assert rows()[key(row)] == unlisted(overwritten(row))


def test_a_notification_that_was_sent_by_a_slower_clock_is_not_sent_again(table: Changing) -> None:
    repeats(table)
    row = next(row for row in all_rows() if row["sk"]["S"] == "sink#sns")
    slower = Changing(table.client, table.now)
    table.now -= 1
    slower.store.mark_sent([a_filing("e0").alert.id], "sns", table.now)
    table.witness()
    assert body_of(rows()[key(row)]) == b"sent"


class Failing:
    """A client whose writes fail."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_item(self, **_: Any) -> Any:
        raise OSError("no network")


def test_what_cannot_be_written_now_is_tried_again_until_it_is_given_up_and_named(table: Changing) -> None:
    row = repeats(table)
    table.put(overwritten(row))
    judgements, failing = table.judged(), Table(Failing(table.client), TABLE, SEAL)  # type: ignore[arg-type]
    assert [one.became for one in restore(failing, SEAL, judgements, table.now, lambda: True)] == ["not restored yet"]
    working = Table(table.client, TABLE, SEAL)
    assert [one.became for one in restore(working, SEAL, judgements, table.now, lambda: False)] == ["not restored yet"]
    later = table.now + GIVE_UP_SECONDS + 1
    assert [one.became for one in restore(failing, SEAL, judgements, later, lambda: True)] == ["lost"]


# In any order of what functions, a thief and the witness do


@dataclass
class People:
    """What people are notified of, and how many alerts are named as lost."""

    table: Changing
    filed: set[str] = field(default_factory=set)
    sent: dict[str, Notification] = field(default_factory=dict)
    lost: int = 0

    def send(self) -> None:
        for one in self.table.store.unsent("sns", self.table.now, limit=50):
            self.sent[one.notification.id] = one.notification
            self.table.store.mark_sent([one.notification.id], "sns", self.table.now)

    def race(self, number: int) -> None:
        """File alerts, and restore what was altered between what a function reads of the rows and what it writes."""
        write = Table.write

        def late(of: Table, actions: Any) -> None:
            self.witness()
            write(of, actions)

        with mock.patch.object(Table, "write", late):
            file(self.table, number)

    def witness(self) -> None:
        self.lost += sum(count_of(one) for one in self.table.witness() if one.became == "lost")

    @property
    def counted(self) -> int:
        return sum(len(one.alerts) + one.merged_count for one in self.sent.values())


def count_of(judgement: Judgement) -> int:
    """Return how many alerts are lost with a row."""
    body = body_of(judgement.before)
    if body is None or body in (*EMPTY, b"sent"):
        return 0
    kind = judgement.place[1]
    if kind == "window":
        tally = msgspec.json.decode(body, type=Window).tally
        return tally.count if tally else 0
    if kind in ("held", "added"):
        return msgspec.json.decode(body, type=Held).count
    if kind == "sink#sns":
        draft = msgspec.json.decode(body, type=Draft)
        return len(draft.alert_ids) + draft.merged_count
    return 0


KINDS_OF_THEFT = ("put back", "delete", "write over", "take from its index", "shorten")


def theft(table: Changing, number: int, images: dict[tuple[str, str], list[Row]]) -> None:
    """Let somebody do one thing to one row that an index shows, or has shown: the number says what, and to which."""
    kind = KINDS_OF_THEFT[number % len(KINDS_OF_THEFT)]
    places = sorted(images, key=lambda place: (place[1], place[0]))
    place = places[number // len(KINDS_OF_THEFT) % len(places)] if places else ("", "")
    now = rows().get(place)
    if kind == "put back" and places:
        table.put(images[place][number // 7 % len(images[place])])
    elif kind == "delete" and now:
        table.delete(now)
    elif now:
        forged = {"write over": overwritten(now), "take from its index": unlisted(now)}
        table.put(forged.get(kind, {**now, "expires_at": {"N": "1"}}))


def file(table: Changing, number: int) -> None:
    """File alerts of two principals, each from an address of its own, so that summaries count every one."""
    level = Level.CRITICAL if number % 7 == 6 else Level.HIGH
    for n in range(2 + number % 2):
        changes = {"level": level, "principal": f"p{number % 2}", "remote_address": f"a{number}-{n}"}
        record(table.store, [a_filing(f"e{number}-{n}", **changes)], table.now)


def crowd(table: Changing, number: int) -> None:
    table.store._crowded_until = table.now + 60
    file(table, number)


STEPS = [file, None, crowd, file, None, put_off, close, "send", "witness", "race"]
A_STEP = st.tuples(st.sampled_from(STEPS), st.integers(0, 300))


def run(steps: Sequence[Any]) -> None:
    images: dict[tuple[str, str], list[Row]] = {}
    with changing() as table:
        people = People(table)
        for at, (step, argument) in enumerate(steps):
            if step is None:
                theft(table, argument, images)
            elif step == "race":
                people.race(at * 31 + argument)
            elif isinstance(step, str):
                getattr(people, step)()
            else:
                step(table, at * 31 + argument)
            table.now += 0.01
            for place, row in rows().items():
                if ("due_kind" in row or "unsent_sink" in row) and row not in images.setdefault(place, []):
                    images[place].append(row)
        for _ in range(4):
            people.witness()
            people.send()
            table.now += 7200
            table.store.settle(table.now)
        people.witness()
        people.send()
        filed = {row["pk"]["S"] for row in all_rows() if row["sk"]["S"] == "alert"}
        assert people.counted + people.lost >= len(filed)
        if not any(step is None for step, _ in steps):
            assert (people.counted, people.lost) == (len(filed), 0)


UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking takes minutes


FOUND: list[list[Any]] = [
    [(crowd, 138), (crowd, 216), (None, 207)],
    [("witness", 67), (file, 7), (None, 269), (crowd, 222), (file, 108), (file, 128), (file, 149)],
    [(crowd, 148), (close, 73), ("witness", 60), ("race", 157), ("witness", 92), (None, 297), ("race", 96)],
    [(file, 37), (file, 1), (file, 2), (None, 215), ("witness", 0)],
    [(crowd, 264), (file, 105), ("witness", 185), (crowd, 278), (file, 270), (None, 46)],
]
"""Each of these alone finds a fault that was made on purpose: nothing is written, what is newer gives way, what was
taken for a foreign row, put back, or deleted is not judged."""


@pytest.mark.parametrize("steps", FOUND)
def test_whatever_a_thief_does_between_each_alert_is_notified_or_named_as_lost(steps: list[Any]) -> None:
    run(steps)


@settings(max_examples=3, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(A_STEP, min_size=4, max_size=10))
def test_so_it_is_whatever_else_he_does(steps: list[Any]) -> None:
    run(steps)


@pytest.mark.long
@settings(max_examples=150, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(A_STEP, min_size=4, max_size=14))
def test_so_it_is_in_longer_sequences_too(steps: list[Any]) -> None:
    run(steps)
