"""A notification that somebody has removed before it was sent is made again as soon as its alert is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table
from tests.unit.store.alerts import a_filing, an_alert, record
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.seals import foreign_rows
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.dynamodb.deliveries import UNSENT_SECONDS

T0 = 1_700_000_000.0
ROUTES = (
    Route("sns", NOTIFIED, Level.INFORMATIONAL),
    Route("history", ALL_DISPOSITIONS - NOTIFIED, Level.INFORMATIONAL, batched=True),
)
HOUR = T0 + 3600
ID = an_alert("e1").id
Row = dict[str, Any]


def without(*names: str) -> Callable[[Row], Row]:
    return lambda row: {name: value for name, value in row.items() if name not in names}


THEFTS: dict[str, Callable[[Row], Row | None]] = {
    "deleted": lambda row: None,
    "written over": lambda row: {**without("unsent_sink")(row), "body": {"B": b"{}"}},
    "in no index": without("unsent_sink", "unsent_order"),
    "in the index of another sink": lambda row: {**row, "unsent_sink": {"S": "nobody"}},
    "put off": lambda row: {**row, "not_before": {"N": repr(HOUR + 600)}},
    "made in an hour": lambda row: {**row, "created_at": {"N": repr(HOUR + 600)}},
    "marked as sent by a guess": lambda row: {**without("unsent_sink")(row), "sent": {"B": b"0" * 16}},
    "marked as sent with its seal": lambda row: {**without("unsent_sink")(row), "sent": row["seal"]},
}


@pytest.fixture
def client() -> Iterator[Any]:
    with local_aws():
        made = make_client("dynamodb")
        make_table(made)
        yield made
        foreign_rows.taken()


@pytest.fixture
def evaluate(client: Any) -> DynamoStore:
    return DynamoStore(client, TABLE, SEAL, ROUTES)


@pytest.fixture
def sweep(client: Any) -> DynamoStore:
    return DynamoStore(client, TABLE, SEAL, ROUTES, checks_deliveries=True)


def steal(client: Any, theft: str) -> None:
    for row in all_rows():
        if row["sk"]["S"] == "sink#sns":
            client.delete_item(TableName=TABLE, Key={name: row[name] for name in ("pk", "sk")})
            if changed := THEFTS[theft](row):
                client.put_item(TableName=TABLE, Item=changed)


def unsent(store: DynamoStore, now: float) -> list[str]:
    return [one.notification.id for one in store.unsent("sns", now, age_seconds=60.0)]


@pytest.mark.parametrize("theft", THEFTS)
def test_it_is_lost_to_digest_and_sweep_makes_it_again_once(
    client: Any, evaluate: DynamoStore, sweep: DynamoStore, theft: str
) -> None:
    record(evaluate, [a_filing("e1")], T0)
    assert unsent(evaluate, HOUR) == [ID]
    steal(client, theft)
    assert unsent(evaluate, HOUR) == []

    filed = sweep.file([a_filing("e1")], HOUR)

    assert [(one.new, one.completed) for one in filed.recorded] == [(False, False)]
    assert [(one.id, one.disposition, [it.id for it in one.alerts]) for one in filed.notifications] == [
        (ID, "first", [ID])
    ]
    assert unsent(evaluate, HOUR + 61) == [ID]
    sweep.mark_sent([ID], "sns", HOUR + 61)
    assert unsent(evaluate, HOUR + 61) == []
    assert sweep.file([a_filing("e1")], HOUR + 3600).notifications == []


@pytest.mark.parametrize("theft", ["deleted", "written over"])
def test_what_is_deleted_or_written_over_is_counted_for_an_alarm(
    client: Any, evaluate: DynamoStore, sweep: DynamoStore, theft: str
) -> None:
    record(evaluate, [a_filing("e1")], T0)
    steal(client, theft)
    foreign_rows.taken()
    sweep.file([a_filing("e1")], HOUR)
    assert foreign_rows.taken() == 1


def test_what_is_sent_or_about_to_be_is_not_made_again(evaluate: DynamoStore, sweep: DynamoStore) -> None:
    record(evaluate, [a_filing("e1")], T0)
    assert sweep.file([a_filing("e1")], T0 + UNSENT_SECONDS).notifications == []
    sweep.mark_sent([ID], "sns", HOUR + 61)
    assert sweep.file([a_filing("e1")], HOUR).notifications == []
    assert foreign_rows.taken() == 0


def test_alerts_of_one_event_are_made_again_as_one(client: Any, evaluate: DynamoStore, sweep: DynamoStore) -> None:
    event = [a_filing("e1", rule=rule) for rule in ("r1", "r2")]
    record(evaluate, event, T0)
    steal(client, "deleted")
    [made] = sweep.file(event, HOUR).notifications
    assert {alert.rule for alert in made.alerts} == {"r1", "r2"}


def test_an_alert_of_which_nobody_was_notified_at_once_has_none_to_lose(
    client: Any, evaluate: DynamoStore, sweep: DynamoStore
) -> None:
    record(evaluate, [a_filing("e1"), a_filing("e2")], T0)
    steal(client, "deleted")
    assert sweep.file([a_filing("e2")], HOUR).notifications == []


def test_an_alert_that_is_completed_still_names_its_notification(
    client: Any, evaluate: DynamoStore, sweep: DynamoStore
) -> None:
    record(evaluate, [a_filing("e1", outcome="unknown")], T0)
    record(evaluate, [a_filing("e1", outcome="succeeded")], T0 + 1)
    steal(client, "deleted")
    [made] = sweep.file([a_filing("e1")], HOUR).notifications
    assert made.alerts[0].outcome == "succeeded"
