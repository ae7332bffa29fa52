"""Who is notified of what and when, decided without a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from testbed.recorded import DEFAULT_SCENARIOS
from tests.unit.dispatch.desk import Desk, alerts_of, replay
from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.groups import group_key
from vaultwatch.dispatch.tallies import REPEATS_WORTH_A_SUMMARY
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]
T0 = 1_700_000_000.0
CRITICAL = {"level": Level.CRITICAL}
SERVER = {"level": Level.CRITICAL, "service": "server", "outcome": "unknown", "remote_address": ""}
AUDIT = {"rule": "audit_end", "same_as": ("server_end",), "path": "sys/x"}
SERVER_END = {"rule": "server_end", "same_as": ("audit_end",), "service": "server", "outcome": "unknown", "path": ""}
PRODUCTS = ("vault-1.14.2", "openbao-2.6.2")
DISABLED = "audit_device_disabled"


def at(second: float) -> str:
    return f"2024-05-06T07:{int(second) // 60:02}:{second % 60:09.6f}Z"


class TestADeniedActDoesNotHideARealOne:
    @pytest.mark.parametrize("product", PRODUCTS)
    @pytest.mark.parametrize(
        ("recording", "rule"),
        [("audit-device-changes", "audit_device_disabled"), ("policy-changes", "audit_policy_written")],
    )
    def test_on_a_real_server(self, product: str, recording: str, rule: str) -> None:
        denied = next(a for a in alerts_of(f"{product}/{recording}") if a.rule == rule and a.outcome == "failed")
        done = replace(denied, id="0" * 32, event_key="done", outcome="succeeded", level=Level.CRITICAL)
        desk = Desk()
        assert desk.file([denied], T0) == ["first"]
        assert desk.file([done], T0 + 6) == ["first"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_one_event_what_was_done_comes_first_and_the_highest_level_counts(self, order: int) -> None:
        """A refusal may have a higher level, and a forged entry may have the id of the real one."""
        refused = an_alert("e1", outcome="failed", title="refused", level=Level.HIGH)
        done = replace(an_alert("e1", title="done", level=Level.MEDIUM), id="1" * 32)
        desk = Desk()
        assert desk.file([refused, done][::order], T0) == ["first", "first"]
        [one] = desk.notifications()
        assert (one.title, one.level, one.id) == ("done", Level.HIGH, done.id)
        assert [alert.outcome for alert in one.alerts] == ["succeeded", "failed"]

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_every_removal_of_an_audit_device_is_notified(self, product: str) -> None:
        desk = Desk()
        replay(desk, [f"{product}/audit-device-changes"])
        carried = {alert.id for one in desk.notifications() for alert in one.alerts if alert.rule == DISABLED}
        assert len(carried) >= 3
        assert carried == {alert.id for alert in desk.alerts.values() if alert.rule == DISABLED}

    def test_a_harmless_policy_does_not_hide_a_change_of_the_default_one(self) -> None:
        written: dict[str, Any] = {"rule": "policy_written", "level": Level.MEDIUM}
        desk = Desk()
        desk.file([an_alert("e1", group_values=("harmless",), **written)], T0)
        desk.file([an_alert("e2", group_values=("default",), **written)], T0 + 10)
        desk.settle(T0 + 60)
        shown = [merged.latest.group_values for one in desk.notifications() for merged in one.merged]
        assert shown == [("default",)]

    def test_a_token_with_an_administrators_policy_does_not_hide_one_with_another(self) -> None:
        line = (ROOT / "rules/fixtures/audit_token_privileged/match.jsonl").read_bytes().splitlines()[0]
        detector, desk = Detector(shipped_rules(), source="audit"), Desk()
        for number, policy in enumerate((b"admin", b"administrator")):
            entry = line.replace(b'"id":"', b'"id":"%d' % number).replace(b'["admin","default"]', b'["%s"]' % policy)
            assert policy in entry
            desk.file([alert_of(verdict) for verdict in detector.feed([entry])], T0 + number)
        desk.settle(T0 + 62)
        shown = {alert.id for one in desk.notifications() for alert in one.alerts}
        shown |= {merged.latest.id for one in desk.notifications() for merged in one.merged}
        privileged = {id_ for id_, alert in desk.alerts.items() if alert.rule == "audit_token_privileged"}
        assert len(privileged) == 2
        assert privileged <= shown


class TestActsThatAreEachNotified:
    """Of rules that group by `request.id`, because what was written is hashed."""

    def test_a_harmless_policy_does_not_hide_the_one_that_is_written_over_it(self) -> None:
        desk = Desk()
        assert desk.file([an_act("harmless")], T0) == ["first"]
        desk.file([an_act("real")], T0 + 10)
        desk.settle(T0 + 60)
        assert [merged.latest.event_key for one in desk.notifications() for merged in one.merged] == ["real"]
        assert desk.file([an_act("later")], T0 + 121) == ["first"]

    def test_those_of_one_path_are_counted_together(self) -> None:
        desk = Desk()
        for n in range(200):
            desk.file([an_act(f"decoy {n}")], T0 + n / 10)
        desk.file([an_act("real", path="admin")], T0 + 21)
        desk.run_out(T0 + 21)
        _, summary = desk.notifications()
        assert {merged.latest.path: merged.count for merged in summary.merged} == {"x": 199, "admin": 1}
        assert summary.created_at == T0 + 60

    def test_a_run_over_many_objects_is_two_notifications_that_list_each_of_them(self) -> None:
        desk = Desk()
        for second in range(4):
            desk.file([an_act(f"e{second} {n}", path=f"role/{second} {n}") for n in range(5)], T0 + second)
        desk.run_out(T0 + 4)
        first, summary = desk.notifications()
        shown = {alert.path for alert in first.alerts} | {merged.latest.path for merged in summary.merged}
        assert shown == {f"role/{second} {n}" for second in range(4) for n in range(5)}

    def test_in_one_call_too(self) -> None:
        desk = Desk()
        acts = [an_act("real", path="admin"), *(an_act(f"decoy {n}") for n in range(200))]
        desk.file(acts[::-1], T0)
        desk.run_out(T0)
        shown = [alert.event_key for one in desk.notifications() for alert in one.alerts]
        assert "real" in shown + [merged.latest.event_key for one in desk.notifications() for merged in one.merged]

    def test_of_denied_ones_on_one_path_those_after_the_first_are_only_counted(self) -> None:
        desk = Desk()
        denied = [desk.file([an_act(f"e{n}", outcome="failed")], T0 + 100 * n)[0] for n in range(4)]
        assert denied == ["first", "suppressed", "suppressed", "suppressed"]


def an_act(event: str, **changes: Any) -> Alert:
    return an_alert(event, **{"level": Level.MEDIUM, "path": "x", "group_values": (event,), **changes})


class TestUrgentAlerts:
    def test_an_act_is_notified_again_up_to_five_times_in_a_window(self) -> None:
        desk = Desk()
        filed = [desk.file([an_alert(f"e{n}", **CRITICAL)], T0 + n)[0] for n in range(8)]
        assert filed == [*["first"] * 5, *["suppressed"] * 3]

    def test_further_acts_are_in_a_notification_within_a_minute(self) -> None:
        desk = Desk()
        for n in range(6):
            desk.file([an_alert(f"e{n}", **CRITICAL)], T0 + n)
        desk.settle(T0 + 5 + 60)
        assert [one.merged_count for one in desk.notifications() if one.disposition == "summary"] == [1]

    def test_a_script_that_repeats_one_act_10_000_times_gives_few_notifications_and_an_exact_count(self) -> None:
        desk = Desk()
        for n in range(10_000):
            desk.settle(T0 + n / 100)
            desk.file([an_alert(f"e{n}", **CRITICAL)], T0 + n / 100)
        desk.run_out(T0 + 100)
        sent = desk.notifications()
        assert sum(len(one.alerts) + one.merged_count for one in sent) == 10_000
        assert len(sent) <= 5 * 2 + 3

    def test_10_000_server_log_lines_give_one_notification_and_one_count(self) -> None:
        desk = Desk()
        for n in range(10_000):
            desk.file([an_alert(f"e{n}", **SERVER)], T0 + n / 100)
        desk.run_out(T0 + 100)
        assert [(one.disposition, one.merged_count) for one in desk.notifications()] == [
            ("first", 0), ("summary", 9_999)]  # fmt: skip

    def test_beyond_forty_a_minute_they_are_merged_within_the_minute(self) -> None:
        desk = Desk()
        for n in range(100):
            desk.file([an_alert(f"e{n}", principal=f"p{n}", **CRITICAL)], T0)
        desk.settle(T0 + 60)
        *firsts, summary = desk.notifications()
        assert (len(firsts), summary.merged_count, len(summary.merged)) == (40, 60, 20)

    def test_beyond_ten_a_minute_of_one_principal_they_are_merged_within_the_minute(self) -> None:
        desk = Desk()
        for n in range(30):
            desk.file([an_alert(f"e{n}", path=f"p{n}", **CRITICAL)], T0)
        desk.settle(T0 + 60)
        *firsts, summary = desk.notifications()
        assert (len(firsts), summary.merged_count, len(summary.merged)) == (10, 20, 20)

    def test_a_denied_critical_act_is_limited_like_any_other(self) -> None:
        desk = Desk()
        desk.file([an_alert("e1", outcome="failed", **CRITICAL)], T0)
        assert desk.file([an_alert("e2", outcome="failed", path="x", **CRITICAL)], T0) == ["suppressed"]


class TestSummaries:
    @pytest.mark.parametrize("changes", [{"remote_address": "203.0.113.9"}, {"outcome": "unknown"}])
    def test_are_sent_for_one_repeat_that_shows_something_new(self, changes: dict[str, Any]) -> None:
        desk = Desk()
        desk.file([an_alert("e1")], T0)
        desk.file([an_alert("e2", **changes)], T0 + 1)
        desk.run_out(T0)
        assert [one.merged_count for one in desk.notifications()] == [0, 1]

    @pytest.mark.parametrize(("repeats", "summaries"), [(REPEATS_WORTH_A_SUMMARY - 1, 0), (REPEATS_WORTH_A_SUMMARY, 1)])
    def test_are_sent_for_five_repeats_and_not_for_four(self, repeats: int, summaries: int) -> None:
        desk = Desk()
        for n in range(1 + repeats):
            desk.file([an_alert(f"e{n}")], T0)
        desk.run_out(T0)
        assert len(desk.notifications()) == 1 + summaries

    def test_show_the_worst_the_latest_and_both_times(self) -> None:
        desk = Desk()
        outcomes = ["succeeded", "unknown", "succeeded", "unknown"]
        for n, outcome in enumerate(outcomes):
            desk.file([an_alert(f"e{n}", time=at(n), outcome=outcome)], T0 + n)
        desk.run_out(T0)
        (merged,) = desk.notifications()[-1].merged
        assert (merged.first_time, merged.last_time, merged.count) == (at(1), at(3), 3)
        assert (merged.worst.event_key, merged.latest.event_key) == ("e2", "e3")
        assert merged.outcomes == {"succeeded": 1, "unknown": 2}

    def test_count_an_outcome_that_a_later_response_has_completed(self) -> None:
        desk = Desk()
        for n in range(3):
            desk.file([an_alert(f"e{n}", outcome="unknown", remote_address=f"203.0.113.{n}")], T0 + n)
        desk.alerts = {id_: replace(alert, outcome="succeeded") for id_, alert in desk.alerts.items()}
        desk.run_out(T0)
        (merged,) = desk.notifications()[-1].merged
        assert merged.outcomes == {"succeeded": 2}

    def test_list_acts_that_succeeded_before_denied_ones_in_any_order_of_arrival(self) -> None:
        desk = Desk()
        desk.file([an_alert("e0")], T0)
        for n in range(30):
            desk.file([an_alert(f"d{n}", path=f"p{n}", outcome="failed")], T0)
        desk.file([an_alert("done", path="x")], T0)
        desk.settle(T0 + 60)
        summary = desk.notifications()[-1]
        assert summary.merged[0].latest.event_key == "done"
        assert (summary.merged_count, len(summary.merged)) == (31, 20)

    def test_of_one_group_carry_its_key(self) -> None:
        desk = Desk()
        for n in range(6):
            desk.file([an_alert(f"e{n}")], T0)
        desk.run_out(T0)
        assert {one.group for one in desk.notifications()} == {group_key(an_alert())}


class TestRulesOnTheSameFact:
    def pair(self, event: str, second: float, **server: Any) -> tuple[Alert, Alert]:
        audit = an_alert(f"a{event}", **{**AUDIT, "time": at(second)})
        return audit, an_alert(f"s{event}", **{**SERVER_END, "time": at(second + 1), **server})

    def test_share_one_notification_whichever_comes_first(self) -> None:
        for order in (1, -1):
            desk = Desk()
            assert [desk.file([alert], T0) for alert in self.pair("1", 0)[::order]] == [["first"], ["suppressed"]]

    @pytest.mark.parametrize(
        "server", [{"time": at(5)}, {"time": at(55)}, {"path": "ldap/"}, {"path": "/"}, {"path": "s/x/"}]
    )
    def test_a_message_of_another_moment_or_on_something_else_never_stands_for_the_entry(
        self, server: dict[str, Any]
    ) -> None:
        """Whoever forges one hides who did it: a message names nobody."""
        for order in (1, -1):
            desk = Desk()
            assert [desk.file([alert], T0) for alert in self.pair("1", 0, **server)[::order]] == [["first"], ["first"]]

    @pytest.mark.parametrize("path", ["x/", "x", "sys/x/"])
    def test_one_on_the_same_thing_does(self, path: str) -> None:
        for order in (1, -1):
            desk = Desk()
            filed = [desk.file([alert], T0) for alert in self.pair("1", 0, path=path)[::order]]
            assert filed == [["first"], ["suppressed"]]

    def test_in_one_call_the_one_that_names_who_succeeded_stands_for_the_other(self) -> None:
        for order in (1, -1):
            filed = self.pair("1", 0)[::order]
            assert Desk().file(filed, T0)[::order] == ["first", "suppressed"]

    @pytest.mark.parametrize(
        "server",
        [{"node": "vault-2"}, {"cluster": "other"}, {"time": at(90)}, {"level": Level.CRITICAL}],
    )
    def test_share_none_on_another_node_or_later_or_if_the_second_is_worse(self, server: dict[str, Any]) -> None:
        desk = Desk()
        assert [desk.file([alert], T0) for alert in self.pair("1", 0, **server)] == [["first"], ["first"]]

    def test_in_one_call_the_worse_one_stands_for_the_other(self) -> None:
        assert Desk().file(self.pair("1", 0, level=Level.CRITICAL), T0) == ["suppressed", "first"]

    def test_share_one_if_the_node_of_one_is_unknown(self) -> None:
        assert Desk().file(self.pair("1", 0, node=""), T0) == ["first", "suppressed"]

    def test_one_notification_covers_only_one_fact(self) -> None:
        desk = Desk()
        desk.file(self.pair("1", 0), T0)
        again = replace(self.pair("2", 5)[0], principal="bob")
        assert desk.file([again], T0 + 5) == ["first"]

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_one_root_generation_is_one_critical_notification(self, product: str) -> None:
        desk = Desk()
        replay(desk, [f"{product}/generate-root"])
        assert sum(one.level is Level.CRITICAL for one in desk.notifications()) == 1


def test_the_session_of_the_demo_makes_no_notification_without_something_new() -> None:
    desk = Desk()
    replay(desk, DEFAULT_SCENARIOS, seconds_each=1.0)
    desk.run_out(T0)
    sent = desk.notifications()
    assert len(sent) == 31
    seen: set[tuple[str, ...]] = set()
    for one in sent:
        merged = [(group, alert) for group in one.merged for alert in group.alerts]
        shown = {traits for _, alert in merged for traits in traits_of(alert)}
        carried = {traits for alert in one.alerts for traits in traits_of(alert)}
        assert one.alerts or shown - seen or any(group.count >= REPEATS_WORTH_A_SUMMARY for group in one.merged)
        seen |= shown | carried


def traits_of(alert: Alert) -> set[tuple[str, ...]]:
    """Return the traits of an alert that a reader has seen once it was shown."""
    group = group_key(alert)
    return {(group, "path", alert.path), (group, "from", alert.remote_address), (group, "outcome", alert.outcome)}
