"""Addresses in a mail are no links."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.notify.samples import LOGGED, a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.notify.defanging import defanged
from vaultwatch.notify.machine import decode_notification, machine_json
from vaultwatch.notify.text import email_text

EVIL = "https://evil.example/reset?x=1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (EVIL, "hxxps://evil[.]example/reset?x=1"),
        ("HTTP://EVIL.example", "hxxp://EVIL[.]example"),
        ("ftp://evil.example", "ftp[:]//evil[.]example"),
        ("(www.evil.example)", "(www[.]evil[.]example)"),
        ("[.]evil.example ]evil.example", "[.]evil[.]example ]evil[.]example"),
        ("evil.example. //evil.example/x", "evil[.]example. //evil[.]example/x"),
        ("evil\u3002example evil\uff0eexample", "evil[\u3002]example evil[\uff0e]example"),
        ("\u0435vil.com evil.xn--p1ai", "\u0435vil[.]com evil[.]xn--p1ai"),
        ("http://[2001:db8::7]:80/x", "hxxp://[2001:db8::7]:80/x"),
        ("http:\\\\evil.example http:evil.example", "http:[\\\\]evil[.]example http:evil[.]example"),
        ("%2F%2Fevil.example", "%2F%2Fevil[.]example"),
        ("mailto:x@evil.example tel:+1900", "mailto[:]x@evil.example tel[:]+1900"),
        ("\\\\192.0.2.7\\share ms-msdt:/id", "[\\\\]192.0.2.7\\share ms-msdt[:]/id"),
        ("ssh://evil.example file:/etc/x", "ssh[:]//evil[.]example file[:]/etc/x"),
        ("alice@corp.example in secret/app.prod.db", "alice@corp.example in secret/app.prod.db"),
        ("https://user:pw@evil.example:8200/a.b", "hxxps://user:pw@evil[.]example:8200/a.b"),
        ("secret/data/app 192.0.2.7 10:00", "secret/data/app 192.0.2.7 10:00"),
    ],
)
def test_an_address_is_changed_and_other_text_is_not(text: str, shown: str) -> None:
    assert defanged(text) == shown


ARCHIVE = "s3://archive"


@given(st.text(alphabet="htps:/w.x \n") | st.lists(st.sampled_from(["http", "://", "x.io", ARCHIVE])).map("".join))
def test_no_web_address_is_left(text: str) -> None:
    for ours in ("", ARCHIVE):
        assert not re.search(r"https?://(?!archive)|\bwww\.\S", defanged(text, ours), re.IGNORECASE)


def test_the_address_of_the_archive_stays_as_it_is() -> None:
    assert defanged(f"search x {ARCHIVE} {EVIL}", ARCHIVE) == f"search x {ARCHIVE} hxxps://evil[.]example/reset?x=1"


@pytest.mark.parametrize("field", [*LOGGED, "title"])
def test_a_mail_has_no_address_from_a_log_and_the_json_has_the_exact_one(field: str) -> None:
    notification = a_message(an_alert(**{field: EVIL}))
    assert "https://" not in email_text(notification)
    assert getattr(decode_notification(machine_json(notification, 100_000)).alerts[0], field) == EVIL
