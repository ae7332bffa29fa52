"""The Expectations contract, tested on every adapter, and what is raised when an event does not come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.support.dynamodb import SEAL, TABLE, all_rows, local_aws, make_client, make_table
from tests.unit.detection.test_absences import SPAN, event, expecting, first
from tests.unit.detection.test_correlation import BEGIN
from vaultwatch.alerts import alert_of
from vaultwatch.detection.absences import Run
from vaultwatch.detection.correlation import absence_verdict
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.firsts import Combination
from vaultwatch.store.absences import TOO_OLD_SECONDS, Absences
from vaultwatch.store.dynamodb.expectations import DynamoExpectations
from vaultwatch.store.expectations import Expectations, Expected
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0
GROUP = ("prod",)


@pytest.fixture(params=["sqlite", "dynamodb"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Expectations]:
    with local_aws() if request.param == "dynamodb" else nullcontext():
        if request.param == "dynamodb":
            make_table(make_client("dynamodb"))
            yield DynamoExpectations(make_client("dynamodb"), TABLE, SEAL)
        else:
            store = SqliteStore(tmp_path / "alerts.sqlite")
            yield store
            store.close()


def expected(moment: float, due_at: float | None = None, rule: str = "missing") -> Expected:
    return Expected(rule, GROUP, Run(moment, first(moment)), moment + SPAN if due_at is None else due_at)


def names(kept: Expectations, now: float) -> list[str]:
    """Return the ids of the alerts that are raised at a time."""
    one, ids = Absences(expecting(), lambda: kept), list[str]()
    for overdue in one.overdue(now):
        ids.append(overdue.alert.id)
        one.settle(overdue, now)
    return ids


def see(kept: Expectations, *moments: float, now: float = T0) -> None:
    Absences(expecting(), lambda: kept).expect(
        [(Combination("missing", GROUP), [Run(m, first(m))]) for m in moments], now
    )


def test_only_the_latest_event_counts_in_whatever_order_they_come(kept: Expectations) -> None:
    for moment in (T0 + 5, T0, T0 + 9, T0 + 7, T0 + 9):
        kept.expect([expected(moment)], T0)
    assert kept.due(T0 + 8 + SPAN) == []
    assert kept.due(T0 + 9 + SPAN) == [expected(T0 + 9)]


def test_what_is_settled_is_not_due_again_unless_another_event_came(kept: Expectations) -> None:
    kept.expect([expected(T0)], T0)
    kept.settle_due(expected(T0), T0)
    kept.expect([expected(T0), expected(T0 - 1)], T0)
    assert kept.due(T0 + 2 * SPAN) == []
    kept.expect([expected(T0 + 1)], T0 + 2 * SPAN)
    kept.settle_due(expected(T0), T0)
    assert kept.due(T0 + 2 * SPAN) == [expected(T0 + 1)]


def test_an_alert_is_raised_once_for_each_time_at_which_nothing_came(kept: Expectations) -> None:
    see(kept, T0)
    assert names(kept, T0 + SPAN - 1) == []
    (one,) = names(kept, T0 + SPAN)
    assert names(kept, T0 + SPAN + 60) == []
    see(kept, T0, now=T0 + SPAN + 90)  # the same segment is evaluated again
    assert names(kept, T0 + SPAN + 120) == []
    see(kept, T0 + 2 * SPAN)
    (other,) = names(kept, T0 + 3 * SPAN)
    assert one != other


def test_if_a_process_ends_before_it_has_settled_an_alert_the_same_is_raised(kept: Expectations) -> None:
    see(kept, T0)
    lost = Absences(expecting(), lambda: kept).overdue(T0 + SPAN)
    assert [one.alert.id for one in lost] == names(kept, T0 + SPAN + 60)


def test_an_old_segment_that_is_evaluated_again_makes_nothing_due(kept: Expectations) -> None:
    see(kept, T0, now=T0 + SPAN + TOO_OLD_SECONDS + 1)
    assert kept.due(T0 + 100 * SPAN) == []


def test_a_rule_that_is_not_used_any_more_or_waits_longer_now_raises_nothing(kept: Expectations) -> None:
    kept.expect([expected(T0, due_at=T0 + 60, rule="gone")], T0)
    kept.expect([expected(T0, due_at=T0 + 60)], T0)  # before its timespan was prolonged
    assert names(kept, T0 + 61) == []
    assert kept.due(T0 + SPAN) == [expected(T0)]
    assert len(names(kept, T0 + SPAN + 1)) == 1


def test_nothing_of_an_entry_is_stored_but_what_its_alert_shows(kept: Expectations) -> None:
    """A device with `log_raw` logs tokens in clear, and any device the values that are not to be hashed."""
    rules = expecting()
    clear: dict[str, Any] = {"auth": {"display_name": "job", "client_token": "hvs.clear"}, "response": "clear"}
    detector = Detector(rules)
    detector.feed([event(0, **clear)])
    seen = detector.correlator.runs.seen
    raised = absence_verdict(detector.correlator.correlations.by_name["missing"], seen[0][0], seen[0][1][-1])
    Absences(rules, lambda: kept).expect(seen, BEGIN.timestamp() - 20 * 86_400)
    later = BEGIN.timestamp() - 20 * 86_400 + SPAN + 60
    (found,) = kept.due(later)
    assert "clear" not in str(found)
    (overdue,) = Absences(rules, lambda: kept).overdue(later + 1)
    assert overdue.alert == alert_of(raised)
    assert "job" in str(overdue.alert)


def test_without_such_a_rule_nobody_asks() -> None:
    def fail() -> Expectations:
        raise AssertionError

    assert Absences([], fail).overdue(T0) == []


def test_a_row_that_somebody_else_wrote_is_replaced() -> None:
    with local_aws():
        client = make_client("dynamodb")
        make_table(client)
        kept = DynamoExpectations(client, TABLE, SEAL)
        kept.expect([expected(T0)], T0)
        [row] = [row for row in all_rows() if row["sk"]["S"] == "expected"]
        client.put_item(TableName=TABLE, Item={**row, "body": {"B": b"{}"}})
        assert kept.due(T0 + SPAN) == []
        kept.expect([expected(T0)], T0 + SPAN)
        assert kept.due(T0 + SPAN) == [expected(T0)]
