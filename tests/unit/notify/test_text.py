"""Texts for people and JSON for machines, whatever a log put into an alert."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.notify.samples import LOGGED, a_group, a_message, a_summary
from tests.unit.store.alerts import an_alert
from vaultwatch.audience import Audience
from vaultwatch.notify.machine import decode_notification, machine_json
from vaultwatch.notify.text import email_text, facts, headline, local_time, visible
from vaultwatch.rules.facts import Level


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Ünïcode 漢字", "plain Ünïcode 漢字"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07", "\\u001b[2J\\u0007"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\u2028\x85", "\\u2028\\u0085"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("x" * 101, "x" * 82 + "… (101 characters)"),
    ],
)
def test_unprintable_characters_are_made_visible(text: str, shown: str) -> None:
    assert visible(text, 100) == shown


@given(st.text(), st.integers(30, 200))
def test_visible_text_prints_on_one_line_and_is_bounded(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


BERLIN = Audience(ZoneInfo("Europe/Berlin"))


class TestHeadline:
    def test_of_one_alert(self) -> None:
        assert headline(a_message()) == "HIGH: Root policy used"

    def test_of_an_event_with_several(self) -> None:
        assert headline(a_message(an_alert(), an_alert(rule="b"), an_alert(rule="c"))) == (
            "HIGH: Root policy used and 2 more alerts on the same event")  # fmt: skip

    def test_of_several_acts(self) -> None:
        assert headline(a_message(an_alert(), an_alert("e2"))) == "HIGH: Root policy used and 1 more alert"

    def test_warns_when_something_succeeded_among_what_it_counts_and_its_own_alerts_were_denied(self) -> None:
        denied, counted = an_alert(outcome="failed"), (a_group(count=2), a_group("e2", count=7, outcome="failed"))
        assert headline(a_message(denied, merged=counted)) == (
            "HIGH: Root policy used, plus 9 earlier (2 succeeded)")  # fmt: skip

    def test_of_a_summary_says_how_many_and_since_when_in_the_readers_time(self) -> None:
        summary = replace(a_summary(3), created_at=datetime(2024, 5, 6, 21, 30, tzinfo=UTC).timestamp())
        assert headline(summary) == "HIGH: Root policy used: 9 more since 06:08"
        assert headline(replace(summary, created_at=summary.created_at + 3 * 3600)) == (
            "HIGH: Root policy used: 9 more since 2024-05-06 06:08")  # fmt: skip
        assert headline(summary, BERLIN) == "HIGH: Root policy used: 9 more since 08:08"

    def test_of_an_alert_with_counts_of_earlier_ones(self) -> None:
        assert headline(a_message(merged=a_summary().merged)) == "HIGH: Root policy used, plus 9 earlier"

    def test_contains_no_text_from_a_log(self) -> None:
        evil: dict[str, Any] = dict.fromkeys(LOGGED, "EVIL")
        assert "EVIL" not in headline(a_message(an_alert(**evil), merged=(a_group(**evil),)))
        counted = replace(a_group(**evil), first_time="EVIL", last_time="EVIL")
        assert headline(a_message(alerts=(), merged=(counted,))) == "HIGH: Root policy used: 3 more"


class TestFacts:
    def test_names_come_before_ids_and_times_are_the_readers(self) -> None:
        shown = dict(facts(an_alert(who="userpass-alice (entity 04af)", principal="04af"), BERLIN))
        assert list(shown)[:2] == ["who", "path"]
        assert shown["who"] == "userpass-alice (entity 04af)"
        assert shown["time"] == "2024-05-06 09:08:09 CEST"

    @pytest.mark.parametrize("time", ["May  6 07:08:09", "x\n"])
    def test_a_time_that_cannot_be_parsed_is_shown_as_logged_in_quotation_marks(self, time: str) -> None:
        assert local_time(time, BERLIN) == f'"{visible(time, 300)}"'

    def test_the_errors_own_words_are_part_of_the_outcome(self) -> None:
        shown = dict(facts(an_alert(outcome="failed", error="permission denied")))
        assert shown["outcome"] == "denied: permission denied"

    def test_a_server_log_message_has_an_error_and_no_outcome(self) -> None:
        shown = dict(facts(an_alert(service="server", outcome="unknown", error="disk full", principal="vault-1")))
        assert shown["error"] == '"disk full"'
        assert not shown.keys() & {"outcome", "who"}


class TestEmail:
    def test_says_what_happened_and_what_to_do(self) -> None:
        text = email_text(a_message())
        for part in (an_alert().summary, an_alert().id, "alice", "secret/data/app", "root", "192.0.2.7", "prod/vault-1",
                     "2024-05-06 07:08:09 UTC", "succeeded", "vault token revoke -accessor abc",
                     "Repeats in the next 15 minutes arrive in one summary."):  # fmt: skip
            assert part in text

    def test_a_summary_says_how_often_who_what_when_and_how_it_ended(self) -> None:
        denied = an_alert("e2", outcome="failed", title="Root policy used (denied)", summary="alice tried it: denied")
        group = a_group(who="alice (entity 04af)")
        group = replace(group, outcomes={"failed": 1, "succeeded": 1, "unknown": 1}, alerts=(*group.alerts, denied))
        text = email_text(a_message(alerts=(), merged=(group,), merged_count=1_003, disposition="summary"), BERLIN)
        assert text.splitlines()[2:] == [
            "1,003 alerts that no earlier notification shows, worst first:",
            "",
            "      3 x Root policy used by alice (entity 04af)",
            "          2024-05-06 08:08:09 CEST to 2024-05-06 09:08:09 CEST: "
            "1 succeeded, 1 without a response when counted, 1 denied or failed",
            "          alice read secret/data/app with the root policy",
            "          latest: alice tried it: denied",
            f"          rule audit_root_policy_used, alert {denied.id}",
            "  1,000 x in groups not listed here",
        ]

    def test_a_summary_says_which_alerts_are_delayed(self) -> None:
        text = email_text(a_message(alerts=(), merged=(a_group(count=1, late=True),), disposition="summary"))
        assert "with the root policy (delayed: found in the archive)" in text

    def test_other_alerts_on_the_same_event_are_named(self) -> None:
        rest = [an_alert(rule=f"r{number}", title=f"T{number}") for number in range(7)]
        text = email_text(a_message(*rest))
        assert "2 more alerts on the same event:\n  high: T5: alice read" in text
        assert "(rule r6)" in text

    @pytest.mark.parametrize(
        ("changes", "window"),
        [
            ({}, "15 minutes"),
            ({"level": Level.CRITICAL}, "5 minutes"),
            ({"window_seconds": 86_400}, "day"),
            ({"window_seconds": 7_200}, "2 hours"),
            ({"window_seconds": 60}, "minute"),
            ({"window_seconds": 45}, "45 seconds"),
        ],
    )
    def test_the_window_is_that_of_the_group(self, changes: dict[str, Any], window: str) -> None:
        assert f"Repeats in the next {window} arrive in one summary." in email_text(a_message(an_alert(**changes)))

    def test_no_window_is_named_if_each_act_is_notified(self) -> None:
        text = email_text(a_message(an_alert("e1", group_values=("e1",))))
        assert "Further ones are notified at most once a minute." in text
        assert "Repeats in" not in text

    def test_text_from_a_log_can_neither_begin_a_line_nor_move_the_cursor(self) -> None:
        texts: dict[str, Any] = dict.fromkeys(LOGGED, "x\nSubject: EVIL\x1b[2J\u202e")
        evil = an_alert(**texts, actions=("a\nEVIL",))
        text = email_text(a_message(evil, merged=(a_group(**texts),)))
        assert not [line for line in text.splitlines() if line.startswith(("Subject", "EVIL"))]
        assert all(char.isprintable() or char == "\n" for char in text)

    def test_is_bounded(self) -> None:
        huge = an_alert(path="p" * 10**6, summary="s" * 10**6, error="e" * 10**6, actions=("a" * 10**6,) * 1000)
        assert len(email_text(a_message(*[huge] * 25))) < 300_000


class TestMachineJson:
    def test_round_trip(self) -> None:
        for message in (a_message(), a_summary(), a_message(merged=a_summary().merged)):
            assert decode_notification(machine_json(message, 10**6)) == message

    def test_records_shrink_first_and_say_so(self) -> None:
        record = {"data": "x" * 30_000}
        message = a_message(an_alert(record=record), an_alert(rule="b"))
        small = decode_notification(machine_json(message, 10_000))
        marker = small.alerts[0].record["vaultwatch"]
        assert marker["sha256"] == hashlib.sha256(msgspec.json.encode(record)).hexdigest()
        assert [alert.path for alert in small.alerts] == [alert.path for alert in message.alerts]

    def test_counts_are_shortened_before_they_are_left_out(self) -> None:
        huge = a_summary(20)
        groups = tuple(replace(one, alerts=(replace(one.worst, path="p" * 1_000),) * 4) for one in huge.merged)
        small = decode_notification(machine_json(replace(huge, merged=groups), 40_000))
        assert [len(one.alerts) for one in small.merged] == [1] * 20
        assert small.merged_count == huge.merged_count

    def test_the_largest_possible_message_still_fits_and_names_every_alert(self) -> None:
        huge = [an_alert(rule=f"r{n}", path="\U0001f600" * 10**4, summary="\0" * 10**4, cluster="c" * 9999,
                         actions=("a" * 9999,) * 99, record={"d": "x" * 32_000}) for n in range(25)]  # fmt: skip
        body = machine_json(a_message(*huge), 48_000)
        assert len(body) <= 48_000
        assert [alert.id for alert in decode_notification(body).alerts] == [alert.id for alert in huge]
