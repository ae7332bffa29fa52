"""A forged entry with the id of a request that is under way cannot let an act that succeeded seem denied."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from testbed.recorded import RECORDINGS
from tests.unit.store.alerts import a_filing
from tests.unit.store.conftest import Opener
from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.notification import NOTIFIED, Filing, Notification
from vaultwatch.reading.identity import Outcome
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.store import Store

T0 = 1_700_000_000.0
OUTCOMES: tuple[Outcome, ...] = ("failed", "unknown", "succeeded")
ORDERS = list(itertools.permutations(OUTCOMES))


def filing(outcome: Outcome) -> Filing:
    """A denied act may have a higher level than one that succeeded."""
    return a_filing("e1", outcome=outcome, level=Level.HIGH if outcome == "failed" else Level.MEDIUM)


def shown(store: Store, *calls: Sequence[Outcome]) -> list[Outcome]:
    """File alerts of one event, call by call, and return the outcomes that notifications and summaries show."""
    made: list[Notification] = []
    for number, call in enumerate(calls):
        made += store.file([filing(outcome) for outcome in call], T0 + number).notifications
    while (due := store.next_due(T0)) is not None:
        made += store.settle(due)
    for_people = [one for one in made if one.disposition in NOTIFIED]
    return [alert.outcome for one in for_people for alert in (*one.alerts, *(merged.worst for merged in one.merged))]


def test_an_act_that_succeeded_is_notified_although_it_was_stored_as_denied(store: Store) -> None:
    assert shown(store, ["failed"], ["unknown"], ["succeeded"]) == ["failed", "succeeded"]


def test_an_act_that_seems_denied_after_its_request_was_seen_is_shown_once_it_succeeds(store: Store) -> None:
    assert shown(store, ["unknown"], ["failed"], ["succeeded"])[-1] == "succeeded"


@pytest.mark.parametrize("order", ORDERS)
def test_in_any_order_an_act_that_is_not_denied_is_shown_and_repeats_change_nothing(
    store: Store, order: Sequence[Outcome]
) -> None:
    calls = [[outcome] for outcome in order]
    assert {"succeeded", "unknown"} & set(shown(store, *calls))
    assert shown(store, *calls, order) == []


@pytest.mark.parametrize("order", ORDERS)
def test_in_one_call_too(store: Store, order: Sequence[Outcome]) -> None:
    assert "succeeded" in shown(store, order)
    assert shown(store, order, *([outcome] for outcome in order)) == []


def test_the_alert_has_an_id_of_its_own_the_same_each_time(open_store: Opener) -> None:
    store = open_store()
    [denied] = store.file([filing("failed")], T0).recorded
    [done] = store.file([filing("succeeded")], T0 + 1).recorded
    [again] = open_store().file([filing("succeeded")], T0 + 2).recorded
    assert done.new
    assert not again.new
    assert denied.alert_id != done.alert_id == again.alert_id


@pytest.mark.parametrize("log", sorted(RECORDINGS.glob("*/*/audit*.jsonl")), ids=lambda path: path.parent.name)
def test_no_event_of_a_real_server_has_both_outcomes(log: Path) -> None:
    detector, seen = Detector(shipped_rules(), source="audit"), dict[tuple[str, str], set[Outcome]]()
    lines = log.read_bytes().splitlines()
    for verdict in [*detector.feed(lines), *detector.flush(), *detector.feed(lines), *detector.flush()]:
        alert = alert_of(verdict)
        seen.setdefault((alert.rule, alert.event_key), set()).add(alert.outcome)
    assert not [one for one in seen.values() if {"failed", "succeeded"} <= one]
