"""A forged entry with the id of a request that is under way hides no act: neither its outcome, nor whose it was."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.recorded import RECORDINGS
from tests.unit.store.alerts import a_filing
from tests.unit.store.conftest import Opener
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.contradictions import contradicts
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


ENTRY = {"type": "response", "request": {"id": "e1"}}
OTHERS = {"principal": "backup", "remote_address": "192.0.2.99", "path": "secret/data/other", "namespace": "team-b/"}


def act(outcome: Outcome = "succeeded", **changes: Any) -> Filing:
    return a_filing("e1", outcome=outcome, record=ENTRY, **changes)


@pytest.mark.parametrize("field", OTHERS)
def test_the_act_of_somebody_else_under_its_id_hides_none(store: Store, field: str) -> None:
    changed: dict[str, Any] = {field: OTHERS[field]}
    forged = act(**changed)
    [first] = store.file([forged], T0).recorded
    [real] = store.file([act()], T0 + 1).recorded
    assert (first.new, real.new) == (True, True)
    assert [one.new for one in store.file([act(), forged, act()], T0 + 2).recorded] == [False] * 3


LACKING = ({"principal": "vault-1", "remote_address": ""}, {"principal": "192.0.2.7"}, {"namespace": ""})


@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_act_of_nobody_under_its_id_hides_none(store: Store, lacking: dict[str, Any], outcome: Outcome) -> None:
    forged = act(outcome, **lacking)
    assert [one.new for call in (forged, act()) for one in store.file([call], T0).recorded] == [True, True]
    assert [one.new for one in store.file([act(), forged, act()], T0 + 2).recorded] == [False] * 3


def test_neither_do_two_of_which_one_has_its_act_and_another_name(store: Store) -> None:
    def named(name: str, outcome: Outcome = "succeeded", **changes: Any) -> Filing:
        return a_filing("e1", outcome=outcome, record={"request": {}, "auth": {"display_name": name}}, **changes)

    calls = [named("userpass-alice", remote_address="x"), named("true", "unknown"), named("userpass-alice")]
    assert [one.new for call in calls for one in store.file([call], T0).recorded] == [True, True, True]
    assert [one.new for one in store.file([calls[2]], T0).recorded] == [False]


def test_neither_does_one_whose_id_spells_the_real_act(store: Store) -> None:
    """Whoever sees the real entry first knows all that its own id is made of."""
    spelled = "\0".join((act().alert.id, *("",) * 3, "alice", "192.0.2.7", "root", "secret/data/app", *("",) * 3))
    calls = [act(path="x"), a_filing(spelled, outcome="failed", record=ENTRY, path="y"), act()]
    assert [one.new for call in calls for one in store.file([call], T0).recorded] == [True, True, True]


def test_neither_do_two_whose_names_divide_the_same_text_otherwise(store: Store) -> None:
    calls = [act(path="x"), act(namespace="a\0b", path="c"), act(namespace="a", path="b\0c")]
    assert [one.new for call in calls for one in store.file([call], T0).recorded] == [True, True, True]


def test_any_number_of_them_costs_no_more_each(store: Store) -> None:
    """On other clusters, so that they share an id of their own."""
    forged = [act(cluster=f"c{number}") for number in range(1_200)]
    recorded = store.file(forged, T0).recorded
    assert [one.new for one in recorded] == [True, True, *[False] * 1_198]


@pytest.mark.parametrize("lacking", LACKING)
def test_neither_does_it_complete_the_real_one(store: Store, lacking: dict[str, Any]) -> None:
    calls = [act("unknown"), act("failed", **lacking), act()]
    found = [one for call in calls for one in store.file([call], T0).recorded]
    assert [(one.new, one.completed) for one in found] == [(True, False), (False, False), (False, True)]


@pytest.mark.parametrize(
    "forged",
    [
        {"record": {"request": {"operation": "read"}}},
        {"record": {"request": {}, "auth": {"display_name": "userpass-bob"}}},
        {"record": {"request": {}, "auth": {"display_name": "userpass-alice", "metadata": {"role_name": "ci"}}}},
        {"group_values": ("app-read",)},
        {"cluster": "staging"},
    ],
)
def test_neither_does_another_name_operation_cluster_or_thing_that_the_rule_names(
    store: Store, forged: dict[str, Any]
) -> None:
    auth = {"display_name": "userpass-alice", "metadata": {"role_name": "operators"}}
    real: dict[str, Any] = {"record": {"request": {"operation": "delete"}, "auth": auth}}
    calls = [a_filing("e1", **{"group_values": ("root",), **real, **changes}) for changes in (forged, {})]
    assert [one.new for call in calls for one in store.file([call], T0).recorded] == [True, True]


@pytest.mark.parametrize(
    "lacking", [{"record": {"request": "[5000 bytes left out]"}}, {"group_values": ("",)}, {"cluster": "unknown"}]
)
def test_a_record_that_is_cut_a_value_that_is_hashed_and_a_segment_without_its_cluster_make_no_other_act(
    store: Store, lacking: dict[str, Any]
) -> None:
    real: dict[str, Any] = {"record": {"request": {"id": "e1", "operation": "delete"}}, "group_values": ("root",)}
    calls = [a_filing("e1", **{**real, **changes}) for changes in (lacking, {}, lacking)]
    assert [one.new for call in calls for one in store.file([call], T0).recorded] == [True, False, False]


def test_it_is_notified_by_name(store: Store) -> None:
    made = [one for forged in (act(principal="backup"), act()) for one in store.file([forged], T0).notifications]
    assert [alert.principal for one in made for alert in one.alerts] == ["backup", "alice"]


def test_in_one_call_too_and_before_its_response(store: Store) -> None:
    calls = [act("unknown", principal="backup"), act("unknown"), act()]
    assert [one.new for one in store.file(calls, T0).recorded].count(True) == 2
    assert [one.new for one in store.file(calls, T0 + 1).recorded].count(True) == 0


def test_its_response_completes_it(store: Store) -> None:
    calls = [act("unknown", principal="backup"), act("unknown"), act()]
    found = [one for call in calls for one in store.file([call], T0).recorded]
    assert [(one.new, one.completed) for one in found] == [(True, False), (True, False), (False, True)]


LOGIN = {**ENTRY, "auth": {"accessor": "a1"}, "response": {"auth": {"accessor": "a1"}}}
WRAPPED_LOGIN = {**LOGIN, "response": {"wrap_info": {"accessor": "a2", "wrapped_accessor": "a1"}}}


@pytest.mark.parametrize("login", [LOGIN, WRAPPED_LOGIN])
def test_whom_a_login_names_its_request_may_lack(store: Store, login: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"principal": "192.0.2.7"}
    copies = [act("unknown", **asked), a_filing("e1", record=login), act(**asked), a_filing("e1", record=login)]
    assert [one.new for copy in copies for one in store.file([copy], T0).recorded] == [True, False, False, False]


@pytest.mark.parametrize("lacking", LACKING)
def test_what_a_copy_lacks_that_comes_later_makes_no_other_act(store: Store, lacking: dict[str, Any]) -> None:
    copies = [act("unknown"), act(), act(**lacking)]
    assert [one.new for copy in copies for one in store.file([copy], T0).recorded] == [True, False, False]
    assert [one.new for one in store.file(copies, T0).recorded].count(True) == 0


def test_what_was_counted_has_no_act(store: Store) -> None:
    counted = [a_filing("e1", path=path, record={"counted": {}}) for path in ("kv/a", "kv/b")]
    assert [one.new for one in store.file(counted, T0).recorded] == [True, False]


@pytest.mark.parametrize("product", ["openbao-2.6.2", "vault-1.14.2"])
def test_no_event_of_a_real_server_names_two_acts(product: str) -> None:
    """In neither of its entries, nor in what its other device wrote."""
    compared = 0
    for folder in sorted((RECORDINGS / product).iterdir()):
        seen = dict[str, Alert]()
        for log in sorted(folder.glob("audit*.jsonl")):
            lines = log.read_bytes().splitlines()
            for kind in (b'"type":"request"', b'"type":"response"'):
                detector = Detector(shipped_rules(), source="audit")
                some = [line for line in lines if kind in line]
                for alert in map(alert_of, [*detector.feed(some), *detector.flush()]):
                    compared += alert.id in seen
                    assert not contradicts(alert, seen.setdefault(alert.id, alert))
    assert compared > 200


@pytest.mark.parametrize("recording", sorted({log.parent for log in RECORDINGS.glob("*/*/audit*.jsonl")}), ids=str)
def test_what_two_devices_say_of_an_event_that_has_ended_is_the_same_act(recording: Path) -> None:
    seen = dict[str, Alert]()
    for log in sorted(recording.glob("audit*.jsonl")):
        detector = Detector(shipped_rules(), source="audit")
        for alert in map(alert_of, [*detector.feed(log.read_bytes().splitlines()), *detector.flush()]):
            assert not contradicts(alert, seen.setdefault(alert.id, alert))


@pytest.mark.parametrize("log", sorted(RECORDINGS.glob("*/*/audit*.jsonl")), ids=lambda path: path.parent.name)
def test_no_event_of_a_real_server_has_both_outcomes(log: Path) -> None:
    detector, seen = Detector(shipped_rules(), source="audit"), dict[tuple[str, str], set[Outcome]]()
    lines = log.read_bytes().splitlines()
    for verdict in [*detector.feed(lines), *detector.flush(), *detector.feed(lines), *detector.flush()]:
        alert = alert_of(verdict)
        seen.setdefault((alert.rule, alert.event_key), set()).add(alert.outcome)
    assert not [one for one in seen.values() if {"failed", "succeeded"} <= one]
