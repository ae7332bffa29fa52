"""Nobody can hide an act behind others: whatever is filed, an urgent act is notified by name within a minute."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.dispatch.desk import Desk
from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import Window, file_alert, open_window
from vaultwatch.dispatch.limits import CLOCK_STEP_SECONDS, MINUTE_SECONDS
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.slack.layout import posts
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

T0 = 1_700_000_000.0
NAMES = ("p", "\x1b[2J\u202e", "n" * 32_768, "", "\ud800", 'a", "b')

NOTIFYING = (Level.CRITICAL, Level.HIGH, Level.MEDIUM, Level.LOW)
Weight = tuple[str, Level]


def weight(outcome: str, level: Level) -> tuple[int, int]:
    """Return a sort key, the worst first."""
    return ("succeeded", "unknown", "failed").index(outcome), -level.rank


def names(notification: Notification) -> set[str]:
    """Return the event keys of the alerts that a notification shows."""
    listed = [alert for merged in notification.merged for alert in merged.alerts]
    return {alert.event_key for alert in (*notification.alerts, *listed)}


def shown_at(desk: Desk, event: str) -> float | None:
    """Return when people were first shown this event's alert."""
    return next((one.created_at for one in desk.notifications() if event in names(one)), None)


WORSE = [
    (act, decoy)
    for act in itertools.product(("succeeded", "unknown"), NOTIFYING)
    for decoy in itertools.product(("succeeded", "unknown", "failed"), NOTIFYING)
    if weight(*act) < weight(*decoy)
]


@pytest.mark.parametrize(("act", "decoy"), WORSE)
def test_decoys_of_any_other_weight_hide_no_act_that_is_worse(act: Weight, decoy: Weight) -> None:
    """Outcome first, then level: each pair in which the act outweighs what surrounds it."""
    desk, before = Desk(), 0
    for n in range(200):
        now = T0 + n * 0.3
        desk.settle(now)
        if n == 100:
            before = len(desk.notifications())
            desk.file([an_alert("act", principal="mallory", path="real", outcome=act[0], level=act[1])], now)
        of_decoy: dict[str, Any] = {"outcome": decoy[0], "level": decoy[1]}
        desk.file([an_alert(f"d{n}", principal=f"name {n}", path=f"decoy/{n}", **of_decoy)], now)
    desk.run_out(T0 + 60)
    shown = [one.created_at for one in desk.notifications()[before:] if "act" in names(one)]
    assert shown
    assert shown[0] <= T0 + 30 + MINUTE_SECONDS
    assert sum(len(one.alerts) + one.merged_count for one in desk.notifications()) == 201


@pytest.mark.parametrize("outcome", ["succeeded", "unknown"])
def test_in_one_call_refusals_of_a_higher_level_use_up_neither_the_cap_nor_the_limits(outcome: str) -> None:
    refused = [an_alert(f"d{n}", principal=f"name {n}", outcome="failed") for n in range(200)]
    act = an_alert("act", principal="mallory", path="real", level=Level.MEDIUM, outcome=outcome)
    desk = Desk()
    desk.file([*refused, act], T0)
    assert "act" in names(desk.notifications()[0])


@pytest.mark.parametrize(("level", "outcome"), [(Level.CRITICAL, "unknown"), (Level.HIGH, "failed")])
def test_10_000_decoys_a_minute_under_10_000_names_hide_no_success(level: Level, outcome: str) -> None:
    desk, before = Desk(), 0
    for n in range(10_000):
        now = T0 + n * 0.006
        if n % 50 == 0:
            desk.settle(now)
        if n == 5_000:
            before = len(desk.notifications())
            desk.file([an_alert("act", principal="mallory", path="real", level=level)], now)
        decoy = an_alert(f"d{n}", principal=f"name {n}", path=f"decoy/{n}", level=level, outcome=outcome)
        desk.file([decoy], now)
    desk.run_out(T0 + 60)
    next_one = desk.notifications()[before]
    assert "act" in names(next_one)
    assert next_one.created_at <= T0 + 30 + MINUTE_SECONDS
    assert sum(len(one.alerts) + one.merged_count for one in desk.notifications()) == 10_001


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
@pytest.mark.parametrize("level", NOTIFYING)
def test_decoys_under_more_rules_than_a_minute_has_notifications_delay_no_success(level: Level, outcome: str) -> None:
    """The limits are for people: whatever takes the room of a minute, a success takes the first of the next one."""
    desk = Desk()
    for second, rule in itertools.product(range(0, 200, 5), range(25)):
        now = T0 + second
        if rule == 0:
            desk.settle(now)
        if (second, rule) == (95, 12):
            desk.file([an_alert("act", principal="mallory", path="real", rule="target", level=level)], now)
        name = f"{second}-{rule}"
        decoy = an_alert(name, principal=name, path=name, rule=f"rule {rule}", level=Level.HIGH, outcome=outcome)
        desk.file([decoy], now)
    seen_at = shown_at(desk, "act")
    assert seen_at is not None
    assert seen_at <= T0 + 95 + MINUTE_SECONDS


def test_acts_that_succeed_under_every_other_rule_of_its_level_delay_one_by_five_looks_at_most() -> None:
    """Whoever may do all of that: fifteen rules use up what is notified at once, and the others have something to say.

    What is due is looked for once a minute, as on AWS, a second early or late, and not when there is room.
    """
    rules = sum(rule.compiled.level is Level.HIGH for rule in shipped_rules())
    desk, names_of_decoys, happened_at = Desk(), itertools.count(), 300

    def decoy(rule: int, now: float) -> None:
        name = f"decoy {next(names_of_decoys)}"
        desk.file([an_alert(name, principal=name, path=name, rule=f"rule {rule}", level=Level.HIGH)], now)

    for second in range(happened_at + 6 * 60):
        now = T0 + second
        for rule in range(15) if second % 30 else range(rules - 1):
            decoy(rule, now)
        if second == happened_at:
            desk.file([an_alert("act", principal="mallory", path="real", rule="target", level=Level.HIGH)], now)
        if second % 60 == second // 60 * 2 % 3:
            desk.settle(now)
    seen_at = shown_at(desk, "act")
    assert seen_at is not None
    assert seen_at <= T0 + happened_at + 5 * MINUTE_SECONDS + 2


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_10_000_decoys_in_one_call_hide_no_success_and_are_counted_exactly(outcome: str) -> None:
    desk, level = Desk(), Level.CRITICAL
    decoys = [an_alert(f"d{n}", principal=f"name {n}", level=level, outcome=outcome) for n in range(10_000)]
    desk.file([*decoys[:5_000], an_alert("act", principal="mallory", level=level), *decoys[5_000:]], T0)
    first = desk.notifications()[0]
    assert [alert.event_key for alert in first.alerts] == ["act"]
    desk.run_out(T0)
    assert sum(len(one.alerts) + one.merged_count for one in desk.notifications()) == 10_001


def test_the_successes_of_one_principal_do_not_hide_that_of_another() -> None:
    desk = Desk()
    for n in range(200):
        desk.file([an_alert(f"d{n}", principal="mallory", path=f"p{n}", level=Level.CRITICAL)], T0 + n / 10)
    for n in range(60):
        desk.file([an_alert(f"e{n}", principal=f"m{n}", rule="other", level=Level.CRITICAL)], T0 + 20)
    desk.file([an_alert("act", principal="carol", level=Level.CRITICAL)], T0 + 21)
    desk.run_out(T0 + 21)
    seen_at = shown_at(desk, "act")
    assert seen_at is not None
    assert seen_at <= T0 + 21 + MINUTE_SECONDS


def test_a_flood_without_responses_leaves_room_for_an_act_that_succeeded() -> None:
    desk = Desk()
    for n in range(200):
        desk.file([an_alert(f"d{n}", principal=f"m{n}", level=Level.CRITICAL, outcome="unknown")], T0)
    assert desk.file([an_alert("act", rule="other", level=Level.CRITICAL)], T0) == ["first"]
    assert desk.file([an_alert("act 2", principal="carol", level=Level.CRITICAL)], T0) == ["first"]


@st.composite
def alerts(draw: st.DrawFn, event: str) -> Alert:
    """Return an alert as a hostile client may cause it; it has succeeded in nothing."""
    fields: dict[str, Any] = {
        "rule": draw(st.sampled_from(["audit_a", "audit_b"])),
        "principal": draw(st.sampled_from(NAMES)) + str(draw(st.integers(0, 99))),
        "path": draw(st.sampled_from(["x", "\0", "y" * 40_000])),
        "level": draw(st.sampled_from([Level.CRITICAL, Level.HIGH])),
        "outcome": draw(st.sampled_from(["failed", "unknown"])),
        "window_seconds": draw(st.sampled_from([None, 86_400])),
    }
    return an_alert(event, **fields)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_any_interleaving_a_critical_success_is_notified_by_name_within_a_minute(data: st.DataObject) -> None:
    desk, now, acts = Desk(), T0, dict[str, float]()
    for n in range(data.draw(st.integers(1, 25), "steps")):
        now += data.draw(st.sampled_from([0.0, 0.5, 20.0, 59.0, 61.0, 400.0]), "seconds")
        _settle_until(desk, now)
        count = data.draw(st.sampled_from([1, 30, 70]), "decoys")
        decoy = data.draw(alerts(f"d{n}"))
        flood = [
            replace(decoy, id=f"d{n}-{i}", event_key=f"d{n}-{i}", principal=f"{decoy.principal}{i}")
            for i in range(count)
        ]
        if data.draw(st.booleans(), "an act"):
            act = an_alert(f"act{n}", principal=f"user {n}", rule=decoy.rule, level=Level.CRITICAL)
            flood.insert(data.draw(st.integers(0, count)), act)
            acts[act.event_key] = now
        for portion in [flood] if data.draw(st.booleans(), "one call") else [[one] for one in flood]:
            desk.file(portion, now)
    desk.run_out(now)
    for event, happened_at in acts.items():
        seen_at = shown_at(desk, event)
        assert seen_at is not None
        assert seen_at <= happened_at + MINUTE_SECONDS


def _settle_until(desk: Desk, now: float) -> None:
    """Settle at each moment at which something is due, as the closing thread of `watch` does."""
    while (moment := desk.next_due()) is not None and moment <= now:
        desk.settle(moment)


class TestAWindowRowThatNobodyShouldTrust:
    def filing(self) -> Any:
        return file_alert(an_alert("e2", level=Level.CRITICAL, outcome="failed"))

    def window(self, **changes: Any) -> Window:
        return replace(open_window(self.filing(), T0), **changes)

    def test_suppresses_for_the_time_of_its_rule_whatever_end_it_has(self) -> None:
        forged = self.window(closes_at=9e12)
        assert forged.suppresses(self.filing(), T0 + 299)
        assert not forged.suppresses(self.filing(), T0 + 300)

    def test_does_not_suppress_if_it_was_opened_in_the_future(self) -> None:
        forged = self.window(opened_at=9e12, closes_at=9e12 + 300)
        assert not forged.suppresses(self.filing(), T0)
        assert not self.window(opened_at=T0 + CLOCK_STEP_SECONDS + 1, closes_at=9e12).suppresses(self.filing(), T0)

    def test_does_not_suppress_if_it_is_of_another_rule(self) -> None:
        head = replace(self.window().head, rule="other")
        assert not self.window(head=head).suppresses(self.filing(), T0)

    def test_is_replaced_by_the_next_alert_which_is_notified(self) -> None:
        desk = Desk()
        filing = self.filing()
        desk.state.windows[filing.group] = self.window(closes_at=9e12)
        assert desk.file([filing.alert], T0 + 300) == ["first"]
        assert desk.state.windows[filing.group].closes_at == T0 + 600


def test_a_row_written_while_the_clock_was_ahead_is_due_within_a_minute() -> None:
    desk = Desk()
    desk.file([an_alert("e1")], T0 + 1e7)
    desk.file([an_alert("e2", path="x")], T0 + 1e7)
    desk.file([an_alert("e3", path="y")], T0)
    desk.file([an_alert("e4", path="z")], T0 + 1)
    assert all(held.due_at is None or held.due_at <= T0 + 61 for held in desk.state.held.values())


@pytest.mark.parametrize("long", ["x y" * 130, "\\\\" * 400], ids=["words", "backslashes"])
@pytest.mark.parametrize("succeeded", [0, 2], ids=["denied", "succeeded"])
def test_a_flood_of_the_longest_notifications_takes_at_most_the_60_posts_a_minute_that_slack_accepts(
    long: str, succeeded: int
) -> None:
    """So Slack keeps up, whoever floods it: a client without a token, or one with every right."""
    desk = Desk()
    texts: dict[str, Any] = {"path": long, "namespace": long, "summary": long * 3, "error": long}
    texts["actions"] = ("Look at the entry. " * 9,) * 4
    for second in range(120):
        now = T0 + second
        desk.settle(now)
        for n in range(4):
            rule, name = f"rule {(second + n) % 8}", f"{second}-{n} {'q' * 180}"
            denied = texts | {"rule": rule, "principal": name, "who": name, "outcome": "failed"}
            desk.file([an_alert(f"{name}{act}", **denied | {"path": f"{act}{long}"}) for act in range(5)], now)
        urgent = texts | {"rule": "sealed", "principal": name, "level": Level.CRITICAL}
        desk.file([an_alert(f"u{second}", **urgent, outcome="unknown")], now)
        for n in range(succeeded):
            acts = [an_alert(f"s{second}-{n}-{act}", **urgent | {"principal": f"{name}{n}", "path": f"{act}{long}"})
                    for act in range(5)]  # fmt: skip
            desk.file(acts, now)
    posted = [post for one in desk.notifications() for post in posts(one) if one.created_at >= T0 + MINUTE_SECONDS]
    assert 40 < len(posted) <= 60
