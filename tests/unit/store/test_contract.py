"""The Store contract, tested on every adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.unit.store.alerts import a_filing, an_alert, record, settle
from vaultwatch.dispatch.notification import Notification, Recorded
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.store import REMEMBERED_SECONDS, Store, StoreError

T0 = 1_700_000_000.0
HIGH_WINDOW = 900.0
SAME_FACT = {
    "audit": {"rule": "audit_end", "same_as": ("server_end",)},
    "server": {"rule": "server_end", "same_as": ("audit_end",), "service": "server", "principal": "vault-1"},
}


def take(store: Store, sink: str = "people", now: float = T0 + 1799) -> list[Notification]:
    """Return all unsent notifications of a sink, and mark them as sent."""
    taken: list[Notification] = []
    while page := store.unsent(sink, now):
        taken += [unsent.notification for unsent in page]
        store.mark_sent([unsent.notification.id for unsent in page], sink, now)
    return taken


def counts(notification: Notification) -> tuple[str, int, int]:
    return notification.disposition, len(notification.alerts), notification.merged_count


class TestSuppressionWindows:
    def test_the_first_alert_of_a_group_is_notified_at_once(self, store: Store) -> None:
        assert record(store, [a_filing("e1")], T0) == [
            Recorded(an_alert("e1").id, new=True, disposition="first", completed=False)
        ]
        (notification,) = take(store)
        assert counts(notification) == ("first", 1, 0)
        assert notification.alerts == (an_alert("e1"),)
        assert notification.group == a_filing("e1").group
        assert (notification.rule, notification.title, notification.level, notification.cluster) == (
            "audit_root_policy_used", "Root policy used", Level.HIGH, "prod")  # fmt: skip
        assert notification.created_at == T0

    def test_five_repeats_are_one_summary_at_the_end_with_the_exact_number(self, store: Store) -> None:
        results = [record(store, [a_filing(f"e{n}")], T0 + n)[0] for n in range(6)]
        assert [result.disposition for result in results] == ["first", *["suppressed"] * 5]
        take(store)
        assert settle(store, T0 + HIGH_WINDOW - 1) == T0 + HIGH_WINDOW
        assert take(store) == []
        settle(store, T0 + HIGH_WINDOW)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 5)
        assert summary.group == a_filing("e0").group
        (merged,) = summary.merged
        assert (merged.latest.id, merged.count, merged.announced) == (an_alert("e5").id, 5, True)

    def test_a_single_repeat_is_counted_in_the_next_notification_of_its_rule(self, store: Store) -> None:
        record(store, [a_filing("e0"), a_filing("e1")], T0)
        assert settle(store, T0 + HIGH_WINDOW) is None
        assert [counts(one) for one in take(store)] == [("first", 1, 0)]
        record(store, [a_filing("e2", principal="bob")], T0 + 8e4)
        assert [counts(one) for one in take(store, now=T0 + 8e4)] == [("first", 1, 1)]

    def test_there_is_no_summary_when_nothing_followed(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        take(store)
        assert settle(store, T0 + HIGH_WINDOW) is None
        assert take(store) == []

    def test_after_its_window_a_group_is_notified_again(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        settle(store, T0 + HIGH_WINDOW)
        assert record(store, [a_filing("e2")], T0 + HIGH_WINDOW)[0].disposition == "first"

    def test_a_window_that_has_ended_counts_no_more_even_if_nobody_closed_it(self, store: Store) -> None:
        record(store, [a_filing("e1"), a_filing("e2")], T0)
        assert record(store, [a_filing("e3")], T0 + HIGH_WINDOW)[0].disposition == "first"
        assert [counts(one) for one in take(store)] == [("first", 1, 0), ("first", 1, 1)]
        settle(store, T0 + 2 * HIGH_WINDOW)
        assert take(store) == []

    def test_two_groups_have_windows_of_their_own(self, store: Store) -> None:
        filings = [a_filing("e1"), a_filing("e2", principal="bob")]
        assert [result.disposition for result in record(store, filings, T0)] == ["first", "first"]

    def test_a_denied_act_does_not_hide_one_that_succeeded(self, store: Store) -> None:
        assert record(store, [a_filing("e1", outcome="failed")], T0)[0].disposition == "first"
        assert record(store, [a_filing("e2", outcome="succeeded")], T0 + 60)[0].disposition == "first"

    @pytest.mark.parametrize("hours", [1, 24 * 365])
    def test_a_clock_that_was_set_back_suppresses_no_group_and_no_rule(self, store: Store, hours: int) -> None:
        record(store, [a_filing(f"e{n}", principal=f"p{n}") for n in range(30)], T0)
        assert record(store, [a_filing("e99", principal="p1")], T0 - hours * 3600)[0].disposition == "first"


class TestLimits:
    def test_a_rule_notifies_of_a_principal_once_a_minute(self, store: Store) -> None:
        results = [record(store, [a_filing(f"e{n}", path=f"p{n}")], T0)[0] for n in range(4)]
        assert [result.disposition for result in results] == ["first", "suppressed", "suppressed", "suppressed"]
        take(store)
        assert settle(store, T0 + 59) == T0 + 60
        assert take(store) == []
        settle(store, T0 + 60)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 3)
        assert {merged.latest.path for merged in summary.merged} == {"p1", "p2", "p3"}
        assert not any(merged.announced for merged in summary.merged)
        assert summary.group == ""

    def test_a_first_before_the_summary_includes_the_count(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        record(store, [a_filing("e2", path="x")], T0)
        take(store)
        record(store, [a_filing("e3", principal="carol")], T0 + 30)
        assert [counts(one) for one in take(store)] == [("first", 1, 1)]
        settle(store, T0 + 120)
        assert take(store) == []

    def test_a_flood_under_many_names_gives_fifteen_notifications_and_one_exact_count(self, store: Store) -> None:
        for batch in range(0, 1000, 200):
            record(store, [a_filing(f"e{n}", principal=f"p{n}") for n in range(batch, batch + 200)], T0 + batch / 100)
        settle(store, T0 + 60)
        *firsts, summary = take(store)
        assert {counts(one) for one in firsts} == {("first", 1, 0)}
        assert len(firsts) == 15
        assert counts(summary) == ("summary", 0, 985)
        assert len(summary.merged) == 20

    def test_a_critical_act_that_succeeded_is_never_held_back(self, store: Store) -> None:
        record(store, [a_filing(f"e{n}", principal=f"p{n}", rule="other") for n in range(50)], T0)
        critical = {"level": Level.CRITICAL, "rule": "critical"}
        filings = [a_filing(f"c{n}", path=f"p{n}", **critical) for n in range(40)]
        assert {result.disposition for result in record(store, filings, T0)} == {"first"}

    def test_many_windows_that_end_together_are_one_summary(self, store: Store) -> None:
        for at in range(0, 150, 50):
            record(store, [a_filing(f"a{n}", principal=f"p{n}") for n in range(at, at + 50)], T0)
        for at in range(0, 150, 50):
            some = [a_filing(f"b{n}", principal=f"p{n}", remote_address="other") for n in range(at, at + 50)]
            record(store, some, T0 + 1)
        settle(store, T0 + 60)
        take(store)
        settle(store, T0 + HIGH_WINDOW)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 150)

    def test_another_rule_is_not_delayed(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        assert record(store, [a_filing("e2", rule="server_sealed")], T0 + 1)[0].disposition == "first"

    def test_a_summary_waits_until_the_limit_has_room(self, store: Store) -> None:
        for second in range(20):
            record(store, [a_filing(f"e{second}-{n}", rule=f"r{second}", path=f"p{n}") for n in range(2)], T0 + second)
        take(store)
        now, made = T0 + 60, list[float]()
        while (due := settle(store, now)) is not None:
            made += [one.created_at for one in take(store) if one.disposition == "summary"]
            assert due > now
            now = due
        made += [one.created_at for one in take(store) if one.disposition == "summary"]
        assert all(later - earlier >= 60 for earlier, later in zip(made, made[20:]))
        assert made


class TestOneEvent:
    def test_alerts_of_one_event_are_one_notification_the_highest_level_first(self, store: Store) -> None:
        levels = {"low_rule": Level.LOW, "critical_rule": Level.CRITICAL, "medium_rule": Level.MEDIUM}
        results = record(store, [a_filing("e1", rule=rule, level=level) for rule, level in levels.items()], T0)
        assert [result.alert_id for result in results] == [an_alert("e1", rule=rule).id for rule in levels]
        (notification,) = take(store)
        assert [alert.rule for alert in notification.alerts] == ["critical_rule", "medium_rule", "low_rule"]
        assert (notification.rule, notification.level) == ("critical_rule", Level.CRITICAL)

    def test_a_rule_that_has_just_notified_about_the_principal_is_included_beside_another(self, store: Store) -> None:
        """Beside it, it costs people no notification; alone it would wait for a minute."""
        low = {"rule": "low_rule", "level": Level.LOW}
        record(store, [a_filing("e1", **low)], T0)
        take(store)
        filings = [a_filing("e2", namespace="x", **low), a_filing("e2", rule="other")]
        assert [result.disposition for result in record(store, filings, T0 + 1)] == ["first", "first"]
        (notification,) = take(store)
        assert [alert.rule for alert in notification.alerts] == ["other", "low_rule"]

    def test_alerts_that_exceed_one_notification_are_divided_among_several(self, store: Store) -> None:
        record(store, [a_filing("e1", rule=f"rule_{n}") for n in range(60)], T0)
        sent = take(store)
        assert sum(len(one.alerts) for one in sent) == 60
        assert max(len(one.alerts) for one in sent) <= 16


class TestActsOfOnePrincipal:
    def test_that_come_together_are_one_notification_of_at_most_five(self, store: Store) -> None:
        record(store, [a_filing(f"e{n}", path=f"p{n}") for n in range(9)], T0)
        settle(store, T0 + 60)
        assert [counts(one) for one in take(store)] == [("first", 5, 0), ("summary", 0, 4)]

    def test_of_another_principal_or_rule_are_another_notification(self, store: Store) -> None:
        others = [a_filing("e2", principal="bob"), a_filing("e3", rule="other")]
        record(store, [a_filing("e1"), *others], T0)
        assert [counts(one) for one in take(store)] == [("first", 1, 0)] * 3

    def test_come_in_the_order_of_their_importance(self, store: Store) -> None:
        denied = [a_filing(f"d{n}", path=f"p{n}", outcome="failed") for n in range(9)]
        record(store, [*denied, a_filing("done")], T0)
        assert take(store)[0].alerts[0].event_key == "done"


class TestACallWithMoreThanFiftyGroupsOfARule:
    def test_decides_about_the_worst_and_counts_the_others_exactly(self, store: Store) -> None:
        decoys = [a_filing(f"d{n}", principal=f"p{n}", outcome="failed") for n in range(200)]
        results = record(store, [*decoys, a_filing("done")], T0)
        assert results[-1].disposition == "first"
        settle(store, T0 + 60)
        *firsts, summary = take(store)
        assert (len(firsts), counts(summary)) == (15, ("summary", 0, 201 - 15))

    def test_leaves_other_rules_alone(self, store: Store) -> None:
        decoys = [a_filing(f"d{n}", principal="mallory", path=f"p{n}") for n in range(60)]
        assert record(store, [*decoys, a_filing("e", rule="other", level=Level.LOW)], T0)[-1].disposition == "first"


class TestRulesOnTheSameFact:
    def test_share_one_notification(self, store: Store) -> None:
        assert record(store, [a_filing("a", **SAME_FACT["audit"])], T0)[0].disposition == "first"
        assert record(store, [a_filing("s", **SAME_FACT["server"])], T0 + 5)[0].disposition == "suppressed"
        settle(store, T0 + 8e4)
        assert [counts(one) for one in take(store)] == [("first", 1, 0)]

    def test_on_a_second_fact_are_notified_again(self, store: Store) -> None:
        record(store, [a_filing("a", **SAME_FACT["audit"]), a_filing("s", **SAME_FACT["server"])], T0)
        again = a_filing("a2", **SAME_FACT["audit"], principal="bob")
        assert record(store, [again], T0 + 5)[0].disposition == "first"


class TestWhatPeopleAreNotNotifiedOf:
    def test_staged_and_informational_alerts_are_published_only(self, store: Store) -> None:
        staged, informational = a_filing("e1", staged=True), a_filing("e2", rule="w", level=Level.INFORMATIONAL)
        dispositions = [result.disposition for result in record(store, [staged, informational], T0)]
        assert dispositions == ["staged", "suppressed"]
        assert settle(store, T0 + 8e4) is None
        assert take(store) == []
        assert [(one.disposition, one.alerts[0].rule) for one in take(store, "archive")] == [
            ("staged", "audit_root_policy_used"), ("suppressed", "w")]  # fmt: skip

    def test_a_staged_alert_opens_no_window(self, store: Store) -> None:
        record(store, [a_filing("e1", staged=True)], T0)
        assert record(store, [a_filing("e2")], T0)[0].disposition == "first"


class TestOldAlerts:
    def test_wait_for_the_rules_next_summary_with_an_exact_count(self, store: Store) -> None:
        filings = [replace(a_filing(f"e{n}", principal=f"p{n}"), deferred=True) for n in range(30)]
        assert {(result.new, result.disposition) for result in record(store, filings, T0)} == {(True, "suppressed")}
        assert take(store) == []
        settle(store, T0 + 60)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 30)

    def test_open_no_window_and_delay_no_present_alert(self, store: Store) -> None:
        old, new = replace(a_filing("e1"), deferred=True), a_filing("e2")
        assert [result.disposition for result in record(store, [old, new], T0)] == ["suppressed", "first"]
        assert [counts(one) for one in take(store)] == [("first", 1, 1)]


class TestEveryAlertIsPublishedOnce:
    def test_whether_people_are_notified_or_it_is_only_counted(self, store: Store) -> None:
        filings = [a_filing(f"e{n}", principal=f"p{n % 3}", staged=n == 5) for n in range(9)]
        record(store, filings, T0)
        settle(store, T0 + 8e4)
        published = [alert.id for one in take(store, "archive") for alert in one.alerts]
        assert sorted(published) == sorted(filing.alert.id for filing in filings)

    def test_and_returned_to_a_caller_that_sends_at_once(self, store: Store) -> None:
        made = store.file([a_filing("e1"), a_filing("e2"), a_filing("e3", staged=True)], T0).notifications
        assert sorted(one.disposition for one in made) == ["first", "staged", "suppressed"]
        assert {one.id for one in made} == {one.id for one in take(store, "archive")}

    def test_summaries_are_returned_too(self, store: Store) -> None:
        record(store, [a_filing(f"e{n}") for n in range(6)], T0)
        take(store)
        made = store.settle(T0 + HIGH_WINDOW)
        assert [counts(one) for one in made] == [("summary", 0, 5)]
        assert made == take(store)


class TestRedelivery:
    def test_a_known_alert_changes_nothing(self, store: Store) -> None:
        batch = [a_filing(f"e{n}") for n in range(6)]
        record(store, batch, T0)
        assert not any(result.new for result in record(store, batch, T0 + 1))
        settle(store, T0 + 8e4)
        assert [counts(one) for one in take(store, now=T0 + 8e4)] == [("first", 1, 0), ("summary", 0, 5)]

    def test_a_copy_in_the_same_batch_changes_nothing(self, store: Store) -> None:
        filing = a_filing("e1")
        assert [result.new for result in record(store, [filing, filing, a_filing("e1")], T0)] == [True, False, False]
        assert len(take(store)) == 1

    def test_of_a_critical_act_is_not_notified_again(self, store: Store) -> None:
        for second in range(3):
            record(store, [a_filing("e1", level=Level.CRITICAL)], T0 + second)
        assert len(take(store)) == 1

    def test_a_response_that_arrives_later_completes_the_outcome_once(self, store: Store) -> None:
        record(store, [a_filing("e1", outcome="unknown")], T0)
        failed = a_filing("e1", outcome="failed", summary="alice was denied")
        assert record(store, [failed], T0 + 1) == [Recorded(an_alert("e1").id, new=False, completed=True)]
        assert not record(store, [a_filing("e1", outcome="succeeded")], T0 + 2)[0].completed
        assert not record(store, [a_filing("e1", outcome="unknown")], T0 + 3)[0].completed
        (notification,) = take(store)
        assert (notification.alerts[0].outcome, notification.alerts[0].summary) == ("failed", "alice was denied")

    def test_a_completed_outcome_notifies_nobody_again(self, store: Store) -> None:
        record(store, [a_filing("e1", outcome="unknown")], T0)
        take(store)
        record(store, [a_filing("e1", outcome="failed")], T0 + 1)
        settle(store, T0 + 8e4)
        assert take(store) == []


class TestSending:
    def test_a_notification_that_one_sink_has_accepted_is_still_unsent_for_another(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        assert len(take(store, "people")) == 1
        assert take(store, "people") == []
        assert len(take(store, "archive")) == 1

    def test_marking_twice_or_marking_an_unknown_id_changes_nothing(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        store.mark_sent(["unknown", an_alert("e1").id], "people", T0)
        store.mark_sent([an_alert("e1").id], "people", T0)
        assert take(store, "people") == []
        assert len(take(store, "archive")) == 1

    def test_a_sink_gets_notifications_from_its_minimum_level_on(self, open_store: Callable[..., Store]) -> None:
        store = open_store([Route("pager", minimum_level=Level.CRITICAL)])
        record(store, [a_filing("e1"), a_filing("e2", rule="worse", level=Level.CRITICAL)], T0)
        assert [one.rule for one in take(store, "pager")] == ["worse"]

    def test_notifications_for_people_come_first_and_the_highest_level_before_others(self, store: Store) -> None:
        record(store, [a_filing("e0", rule="s", level=Level.CRITICAL, staged=True)], T0)
        for level in (Level.LOW, Level.CRITICAL, Level.HIGH):
            record(store, [a_filing(f"e-{level}", rule=level.value, level=level)], T0)
        assert [one.rule for one in take(store, "archive")] == ["critical", "high", "low", "s"]

    def test_pages_are_as_small_as_requested(self, store: Store) -> None:
        record(store, [a_filing(f"e{n}", rule=f"r{n}") for n in range(7)], T0)
        assert len(store.unsent("people", T0, limit=3)) == 3

    def test_one_that_is_postponed_does_not_block_the_others(self, store: Store) -> None:
        record(store, [a_filing("e1"), a_filing("e2", rule="other")], T0)
        refused = store.unsent("people", T0)[0]
        store.put_off(refused.notification.id, "people", T0 + 60)
        assert [unsent.notification.rule for unsent in store.unsent("people", T0 + 59)] == ["other"]
        assert [unsent.attempts for unsent in store.unsent("people", T0 + 60)] == [1, 0]
        assert len(store.unsent("archive", T0)) == 2

    def test_a_second_sender_gets_only_older_unsent_notifications(self, store: Store) -> None:
        record(store, [a_filing("e1")], T0)
        assert store.unsent("people", T0 + 59, age_seconds=60) == []
        assert len(store.unsent("people", T0 + 60, age_seconds=60)) == 1


class TestLiveRules:
    DAY = 86400.0

    def test_are_live_since_they_were_first_seen_with_their_digest(self, store: Store) -> None:
        assert store.live_since({"a": "1", "b": "1"}, T0) == {"a": T0, "b": T0}
        assert store.live_since({"b": "1", "c": "1"}, T0 + 5) == {"b": T0, "c": T0 + 5}
        assert store.live_since({"a": "2", "b": "1"}, T0 + 9) == {"a": T0 + 9, "b": T0}

    def test_that_are_changed_back_are_live_as_long_as_before(self, store: Store) -> None:
        store.live_since({"a": "1"}, T0)
        store.live_since({"a": "2"}, T0 + 5)
        assert store.live_since({"a": "1"}, T0 + 9) == {"a": T0}

    def test_are_remembered_for_as_long_as_alerts_after_they_were_last_seen(self, store: Store) -> None:
        store.live_since({"a": "1", "b": "1"}, T0)
        for day in range(20, int(REMEMBERED_SECONDS / self.DAY) * 3, 20):
            assert store.live_since({"a": "1"}, T0 + day * self.DAY) == {"a": T0}
        last = T0 + day * self.DAY
        assert store.live_since({"b": "1"}, last) == {"b": last}
        assert store.live_since({"a": "1"}, last + REMEMBERED_SECONDS - self.DAY - 1) == {"a": T0}


class TestRestart:
    def test_keeps_everything(self, open_store: Callable[..., Store]) -> None:
        store = open_store()
        record(store, [a_filing("e1"), a_filing("e2")], T0)
        record(store, [a_filing("e3", path="x")], T0)
        store.close()
        store = open_store()
        assert not record(store, [a_filing("e2")], T0 + 1)[0].new
        assert [counts(one) for one in take(store)] == [("first", 1, 0)]
        assert settle(store, T0 + 1) == T0 + 60
        store.close()
        store = open_store()
        settle(store, T0 + 8e4)
        assert [counts(one) for one in take(store, now=T0 + 8e4)] == [("summary", 0, 2)]

    def test_a_closed_store_raises_an_error(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.file([a_filing()], T0)


class TestForgetting:
    def test_alerts_are_remembered_for_90_days(self, store: Store) -> None:
        record(store, [a_filing("old")], T0)
        record(store, [a_filing("new")], T0 + 10)
        assert store.purge(T0 + REMEMBERED_SECONDS) == 0
        store.purge(T0 + REMEMBERED_SECONDS + 1)
        results = record(store, [a_filing("new"), a_filing("old")], T0 + REMEMBERED_SECONDS + 2)
        assert [result.new for result in results] == [False, True]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\x1b[2J", "x" * 100_000, ""])
def test_no_text_from_a_log_prevents_an_alert_from_being_stored_and_notified(store: Store, text: str) -> None:
    fields = {"principal": text, "path": text, "cluster": text, "summary": text, "time": text, "record": {text: [text]}}
    filings = [a_filing("e1", **fields), a_filing("e2", **fields), a_filing("e3", **fields, staged=True)]
    filings += [a_filing("e4", **fields, outcome="failed"), a_filing("e5", **fields, same_as=("other",))]
    assert record(store, filings, T0)[0].disposition == "first"
    settle(store, T0 + 8e4)
    assert sorted(alert.event_key for one in take(store, "archive") for alert in one.alerts) == [
        f"e{n}" for n in range(1, 6)
    ]


def test_a_record_nested_without_end_prevents_no_alert(store: Store) -> None:
    nested: dict[str, object] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    record(store, [replace(a_filing("e1"), alert=replace(an_alert("e1"), record=nested))], T0)
    assert "too deeply" in str(take(store)[0].alerts[0].record)
    while nested:  # Taken apart, since Python frees it by recursion.
        nested = nested.pop("a")  # type: ignore[assignment]
