"""What every Store adapter promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.unit.store.alerts import a_filing, an_alert
from vaultwatch.dispatch.notification import Notification, Recorded, Route
from vaultwatch.rules.facts import Level
from vaultwatch.store import REMEMBERED_SECONDS, Store, StoreError

T0 = 1_700_000_000.0
HIGH_QUIET = 900.0


def take(store: Store, sink: str = "people", now: float = T0 + 1e6) -> list[Notification]:
    """All that a sink lacks, marked as sent."""
    taken: list[Notification] = []
    while page := store.unsent(sink, now):
        for unsent in page:
            store.mark_sent(unsent.message.id, sink)
            taken.append(unsent.message)
    return taken


def counts(message: Notification) -> tuple[str, int, int]:
    return message.disposition, len(message.alerts), message.merged_count


class TestFirstsAndQuietPeriods:
    def test_the_first_alert_of_a_group_is_told_at_once(self, store: Store) -> None:
        assert store.record([a_filing("e1")], T0) == [
            Recorded(an_alert("e1").id, new=True, first=True, disposition="first", completed=False)
        ]
        (message,) = take(store)
        assert counts(message) == ("first", 1, 0)
        assert message.alerts == (an_alert("e1"),)
        assert (message.rule, message.title, message.level, message.cluster, message.created_at) == (
            "audit_root_policy_used", "Root policy used", Level.HIGH, "prod", T0)  # fmt: skip

    def test_those_that_follow_are_told_in_one_summary_at_the_end_with_the_exact_number(self, store: Store) -> None:
        results = [store.record([a_filing(f"e{n}")], T0 + n)[0] for n in range(5)]
        assert [result.disposition for result in results] == [
            "first",
            "suppressed",
            "suppressed",
            "suppressed",
            "suppressed",
        ]
        assert [result.first for result in results] == [True, False, False, False, False]
        take(store)
        assert store.close_due(T0 + HIGH_QUIET - 1) == T0 + HIGH_QUIET
        assert take(store) == []
        store.close_due(T0 + HIGH_QUIET)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 4)
        assert [(m.latest.id, m.count) for m in summary.merged] == [(an_alert("e0").id, 4)]

    def test_there_is_no_summary_when_nothing_followed(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        take(store)
        assert store.close_due(T0 + HIGH_QUIET) is None
        assert take(store) == []

    def test_after_its_quiet_period_a_group_is_told_of_again(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        store.close_due(T0 + HIGH_QUIET)
        assert store.record([a_filing("e2")], T0 + HIGH_QUIET)[0].disposition == "first"

    def test_a_period_that_has_ended_takes_nothing_more_even_if_nobody_closed_it(self, store: Store) -> None:
        store.record([a_filing("e1"), a_filing("e2")], T0)
        assert store.record([a_filing("e3")], T0 + HIGH_QUIET)[0].disposition == "first"
        first, again = take(store)
        assert counts(first) == ("first", 1, 0)
        assert counts(again) == ("first", 1, 1)
        store.close_due(T0 + 2 * HIGH_QUIET)
        assert take(store) == []

    def test_two_groups_are_quiet_on_their_own(self, store: Store) -> None:
        assert store.record([a_filing("e1")], T0)[0].first
        assert store.record([a_filing("e2", principal="bob")], T0 + 61)[0].disposition == "first"

    @pytest.mark.parametrize("hours", [1, 24 * 365])
    def test_a_clock_set_back_keeps_no_group_and_no_rule_quiet(self, store: Store, hours: int) -> None:
        store.record([a_filing("e1")], T0)
        assert store.record([a_filing("e2")], T0 - hours * 3600)[0].disposition == "first"


class TestOneMessageAMinutePerRule:
    def test_further_firsts_are_merged_into_the_rules_next_message(self, store: Store) -> None:
        results = store.record([a_filing(f"e{n}", principal=f"p{n}") for n in range(4)], T0)
        assert [(result.first, result.disposition) for result in results] == [
            (True, "first"), (True, "suppressed"), (True, "suppressed"), (True, "suppressed")]  # fmt: skip
        take(store)
        assert store.close_due(T0 + 59) == T0 + 60
        assert take(store) == []
        store.close_due(T0 + 60)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 3)
        assert [merged.latest.principal for merged in summary.merged] == ["p1", "p2", "p3"]

    def test_a_first_that_comes_before_the_summary_takes_the_count_along(self, store: Store) -> None:
        store.record([a_filing("e1"), a_filing("e2", principal="bob")], T0)
        take(store)
        store.record([a_filing("e3", principal="carol")], T0 + 60)
        (message,) = take(store)
        assert counts(message) == ("first", 1, 1)
        store.close_due(T0 + 120)
        assert take(store) == []

    def test_a_flood_under_many_names_is_one_message_a_minute_with_an_exact_count(self, store: Store) -> None:
        for batch in range(0, 1000, 200):
            store.record([a_filing(f"e{n}", principal=f"p{n}") for n in range(batch, batch + 200)], T0 + batch / 100)
        store.close_due(T0 + 60)
        first, summary = take(store)
        assert counts(first) == ("first", 1, 0)
        assert counts(summary) == ("summary", 0, 999)
        assert len(summary.merged) == 20

    def test_many_periods_that_end_together_are_one_summary(self, store: Store) -> None:
        store.record([a_filing(f"a{n}", principal=f"p{n}") for n in range(600)], T0)
        store.record([a_filing(f"b{n}", principal=f"p{n}") for n in range(600)], T0 + 1)
        store.close_due(T0 + 60)
        take(store)
        store.close_due(T0 + HIGH_QUIET)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 600)

    def test_another_rule_is_not_held_up(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        assert store.record([a_filing("e2", rule="server_sealed")], T0 + 1)[0].disposition == "first"


class TestOneEvent:
    def test_alerts_of_one_event_are_one_message_the_highest_level_first(self, store: Store) -> None:
        levels = {"low_rule": Level.LOW, "critical_rule": Level.CRITICAL, "medium_rule": Level.MEDIUM}
        results = store.record([a_filing("e1", rule=rule, level=level) for rule, level in levels.items()], T0)
        assert [result.alert_id for result in results] == [an_alert("e1", rule=rule).id for rule in levels]
        (message,) = take(store)
        assert [alert.rule for alert in message.alerts] == ["critical_rule", "medium_rule", "low_rule"]
        assert (message.rule, message.level) == ("critical_rule", Level.CRITICAL)

    def test_a_rule_that_was_just_told_of_does_not_ride_along(self, store: Store) -> None:
        store.record([a_filing("e1", rule="low_rule", level=Level.LOW)], T0)
        take(store)
        filings = [a_filing("e2", rule="low_rule", level=Level.LOW, principal="bob"), a_filing("e2", rule="other")]
        assert [result.disposition for result in store.record(filings, T0 + 1)] == ["suppressed", "first"]
        (message,) = take(store)
        assert [alert.rule for alert in message.alerts] == ["other"]

    def test_more_alerts_than_one_message_carries_are_told_in_several(self, store: Store) -> None:
        store.record([a_filing("e1", rule=f"rule_{n}") for n in range(60)], T0)
        told = take(store)
        assert sum(len(message.alerts) for message in told) == 60
        assert max(len(message.alerts) for message in told) <= 25


class TestWhatIsNotTold:
    def test_staged_and_informational_alerts_are_published_and_never_told(self, store: Store) -> None:
        staged, informational = a_filing("e1", staged=True), a_filing("e2", rule="w", level=Level.INFORMATIONAL)
        assert [result.disposition for result in store.record([staged, informational], T0)] == ["staged", "suppressed"]
        assert store.close_due(T0 + 1e5) is None
        assert take(store) == []
        assert [(m.disposition, m.alerts[0].rule) for m in take(store, "archive")] == [
            ("staged", "audit_root_policy_used"), ("suppressed", "w")]  # fmt: skip

    def test_a_staged_alert_begins_no_quiet_period(self, store: Store) -> None:
        store.record([a_filing("e1", staged=True)], T0)
        assert store.record([a_filing("e2")], T0)[0].disposition == "first"


class TestWhatIsOnlySummedUp:
    def test_old_alerts_wait_for_the_rules_next_summary_with_an_exact_count(self, store: Store) -> None:
        filings = [replace(a_filing(f"e{n}", principal=f"p{n}"), summed=True) for n in range(30)]
        assert {(result.new, result.disposition) for result in store.record(filings, T0)} == {(True, "suppressed")}
        assert take(store) == []
        store.close_due(T0 + 60)
        (summary,) = take(store)
        assert counts(summary) == ("summary", 0, 30)

    def test_they_begin_no_quiet_period_and_hold_up_no_alert_of_now(self, store: Store) -> None:
        old, new = replace(a_filing("e1"), summed=True), a_filing("e2")
        assert [result.disposition for result in store.record([old, new], T0)] == ["suppressed", "first"]
        assert [counts(message) for message in take(store)] == [("first", 1, 1)]


class TestEveryAlertIsPublishedOnce:
    def test_whether_it_is_told_or_only_counted(self, store: Store) -> None:
        filings = [a_filing(f"e{n}", principal=f"p{n % 3}", staged=n == 5) for n in range(9)]
        store.record(filings, T0)
        store.close_due(T0 + 1e5)
        published = [alert.id for message in take(store, "archive") for alert in message.alerts]
        assert sorted(published) == sorted(filing.alert.id for filing in filings)


class TestRedelivery:
    def test_a_known_alert_changes_nothing(self, store: Store) -> None:
        batch = [a_filing("e1"), a_filing("e2")]
        store.record(batch, T0)
        assert [result.new for result in store.record(batch, T0 + 1)] == [False, False]
        store.close_due(T0 + 1e5)
        assert [counts(message) for message in take(store)] == [("first", 1, 0), ("summary", 0, 1)]

    def test_also_within_one_batch(self, store: Store) -> None:
        filing = a_filing("e1")
        assert [result.new for result in store.record([filing, filing, a_filing("e1")], T0)] == [True, False, False]
        assert len(take(store)) == 1

    def test_a_response_that_arrives_later_completes_the_outcome_once(self, store: Store) -> None:
        store.record([a_filing("e1", outcome="unknown")], T0)
        failed = a_filing("e1", outcome="failed", summary="alice was refused")
        assert store.record([failed], T0 + 1) == [Recorded(an_alert("e1").id, new=False, completed=True)]
        assert not store.record([a_filing("e1", outcome="succeeded")], T0 + 2)[0].completed
        assert not store.record([a_filing("e1", outcome="unknown")], T0 + 3)[0].completed
        (message,) = take(store)
        assert (message.alerts[0].outcome, message.alerts[0].summary) == ("failed", "alice was refused")

    def test_and_is_not_told_again(self, store: Store) -> None:
        store.record([a_filing("e1", outcome="unknown")], T0)
        take(store)
        store.record([a_filing("e1", outcome="failed")], T0 + 1)
        store.close_due(T0 + 1e5)
        assert take(store) == []


class TestSending:
    def test_what_one_sink_has_taken_another_still_lacks(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        assert len(take(store, "people")) == 1
        assert take(store, "people") == []
        assert len(take(store, "archive")) == 1

    def test_marking_twice_or_something_unknown_changes_nothing(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        for message_id in ("unknown", an_alert("e1").id, an_alert("e1").id):
            store.mark_sent(message_id, "people")
        assert take(store, "people") == []
        assert len(take(store, "archive")) == 1

    def test_a_sink_gets_what_its_minimum_level_lets_through(self, open_store: Callable[..., Store]) -> None:
        store = open_store([Route("pager", minimum_level=Level.CRITICAL)])
        store.record([a_filing("e1"), a_filing("e2", rule="worse", level=Level.CRITICAL)], T0)
        assert [message.rule for message in take(store, "pager")] == ["worse"]

    def test_what_is_told_goes_first_and_the_highest_level_before_the_others(self, store: Store) -> None:
        store.record([a_filing("e0", rule="s", level=Level.CRITICAL, staged=True)], T0)
        for level in (Level.LOW, Level.CRITICAL, Level.HIGH):
            store.record([a_filing(f"e-{level}", rule=level.value, level=level)], T0)
        assert [message.rule for message in take(store, "archive")] == ["critical", "high", "low", "s"]

    def test_pages_are_as_small_as_asked(self, store: Store) -> None:
        store.record([a_filing(f"e{n}", rule=f"r{n}") for n in range(7)], T0)
        assert len(store.unsent("people", T0, limit=3)) == 3

    def test_a_message_that_is_put_off_leaves_the_others_their_turn(self, store: Store) -> None:
        store.record([a_filing("e1"), a_filing("e2", rule="other")], T0)
        poison = store.unsent("people", T0)[0]
        store.put_off(poison.message.id, "people", T0 + 60)
        assert [unsent.message.rule for unsent in store.unsent("people", T0 + 59)] == ["other"]
        assert [unsent.attempts for unsent in store.unsent("people", T0 + 60)] == [1, 0]
        assert len(store.unsent("archive", T0)) == 2

    def test_a_second_sender_asks_only_for_what_the_first_has_left_lying(self, store: Store) -> None:
        store.record([a_filing("e1")], T0)
        assert store.unsent("people", T0 + 59, age_seconds=60) == []
        assert len(store.unsent("people", T0 + 60, age_seconds=60)) == 1


class TestRestart:
    def test_all_is_there_again(self, open_store: Callable[..., Store]) -> None:
        store = open_store()
        store.record([a_filing("e1"), a_filing("e2"), a_filing("e3", principal="bob")], T0)
        store.close()
        store = open_store()
        assert not store.record([a_filing("e2")], T0 + 1)[0].new
        assert [counts(message) for message in take(store)] == [("first", 1, 0)]
        assert store.close_due(T0 + 1) == T0 + 60
        store.close()
        store = open_store()
        store.close_due(T0 + 1e5)
        assert [counts(message) for message in take(store)] == [("summary", 0, 2)]

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.record([a_filing()], T0)


class TestForgetting:
    def test_alerts_are_remembered_for_90_days(self, store: Store) -> None:
        store.record([a_filing("old")], T0)
        store.record([a_filing("new")], T0 + 10)
        assert store.purge(T0 + REMEMBERED_SECONDS) == 0
        store.purge(T0 + REMEMBERED_SECONDS + 1)
        results = store.record([a_filing("new"), a_filing("old")], T0 + REMEMBERED_SECONDS + 2)
        assert [result.new for result in results] == [False, True]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\x1b[2J", "x" * 100_000, ""])
def test_no_text_of_a_log_keeps_an_alert_from_being_stored_and_told(store: Store, text: str) -> None:
    fields = {"principal": text, "path": text, "cluster": text, "summary": text, "record": {text: [text]}}
    filings = [a_filing("e1", **fields), a_filing("e2", **fields), a_filing("e3", **fields, staged=True)]
    assert store.record(filings, T0)[0].disposition == "first"
    store.close_due(T0 + 1e5)
    assert len(take(store, "archive")) == 4


def test_a_record_nested_without_end_keeps_no_alert_back(store: Store) -> None:
    nested: dict[str, object] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    store.record([replace(a_filing("e1"), alert=replace(an_alert("e1"), record=nested))], T0)
    assert "too deeply" in str(take(store)[0].alerts[0].record)
    while nested:  # Taken apart, since Python frees it by recursion.
        nested = nested.pop("a")  # type: ignore[assignment]
