"""Texts for people and JSON for machines, whatever a log put into an alert."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.notify.samples import a_message, a_summary
from tests.unit.store.alerts import an_alert
from vaultwatch.notify.text import decode_message, email_text, headline, machine_json, visible


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
def test_what_does_not_print_is_made_visible(text: str, shown: str) -> None:
    assert visible(text, 100) == shown


@given(st.text(), st.integers(30, 200))
def test_visible_text_prints_on_one_line_and_is_bounded(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


class TestHeadline:
    def test_of_one_alert(self) -> None:
        assert headline(a_message()) == "HIGH: Root policy used"

    def test_of_an_event_with_several(self) -> None:
        assert headline(a_message(an_alert(), an_alert(rule="b"), an_alert(rule="c"))) == (
            "HIGH: Root policy used and 2 alerts more of this event")  # fmt: skip

    def test_of_a_summary(self) -> None:
        assert headline(a_summary(3)) == "HIGH: Root policy used: 9 alerts, counted"

    def test_holds_nothing_of_a_log(self) -> None:
        logged = ("principal", "path", "namespace", "summary", "remote_address", "cluster", "node", "time")
        assert "EVIL" not in headline(a_message(an_alert(**dict.fromkeys(logged, "EVIL"))))


class TestEmail:
    def test_says_what_happened_and_what_to_do(self) -> None:
        text = email_text(a_message())
        for part in (an_alert().summary, an_alert().id, "alice", "secret/data/app", "root", "192.0.2.7", "prod/vault-1",
                     "2024-05-06T07:08:09.123456Z", "succeeded", "vault token revoke -accessor abc",
                     "counted for 15 minutes"):  # fmt: skip
            assert part in text

    def test_says_how_many_were_counted_and_in_which_groups(self) -> None:
        text = email_text(a_summary(3, left_out=1000))
        assert "1,009 alerts counted, not part of an earlier notification." in text
        assert "      3 x p1: path secret/data/app" in text
        assert "1,000 x in groups not listed here" in text

    def test_nothing_of_a_log_can_begin_a_line_or_move_the_cursor(self) -> None:
        fields = ("principal", "path", "namespace", "summary", "remote_address", "cluster", "node", "time")
        evil = an_alert(**dict.fromkeys(fields, "x\nSubject: EVIL\x1b[2J\u202e"), actions=("a\nEVIL",))
        text = email_text(a_message(evil))
        assert not [line for line in text.splitlines() if line.startswith(("Subject", "EVIL"))]
        assert all(char.isprintable() or char == "\n" for char in text)

    def test_is_bounded(self) -> None:
        huge = an_alert(path="p" * 10**6, summary="s" * 10**6, actions=("a" * 10**6,) * 1000)
        assert len(email_text(a_message(*[huge] * 25))) < 300_000


class TestMachineJson:
    def test_round_trip(self) -> None:
        for message in (a_message(), a_summary(), a_message(merged=a_summary().merged)):
            assert decode_message(machine_json(message, 10**6)) == message

    def test_records_shrink_first_and_say_so(self) -> None:
        record = {"data": "x" * 30_000}
        message = a_message(an_alert(record=record), an_alert(rule="b"))
        small = decode_message(machine_json(message, 10_000))
        marker = small.alerts[0].record["vaultwatch"]
        assert marker["sha256"] == hashlib.sha256(msgspec.json.encode(record)).hexdigest()
        assert [alert.path for alert in small.alerts] == [alert.path for alert in message.alerts]

    def test_the_largest_possible_message_still_fits_and_names_every_alert(self) -> None:
        huge = [an_alert(rule=f"r{n}", path="\U0001f600" * 10**4, summary="\0" * 10**4, cluster="c" * 9999,
                         actions=("a" * 9999,) * 99, record={"d": "x" * 32_000}) for n in range(25)]  # fmt: skip
        body = machine_json(a_message(*huge), 48_000)
        assert len(body) <= 48_000
        assert [alert.id for alert in decode_message(body).alerts] == [alert.id for alert in huge]
