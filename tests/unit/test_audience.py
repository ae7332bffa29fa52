"""The command that shows the entries of an alert: it can be pasted, whatever the log contains."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.notify.samples import a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.audience import Audience
from vaultwatch.notify.slack.layout import posts
from vaultwatch.notify.text import action_lines, email_text

TIME, ID = "2026-11-21T07:29:41.065830008Z", "5ef8e447-9938-afcc-3b1a-dbccc6979745"
ON_S3, ON_DISK = Audience(place="s3://vault-archive"), Audience(place="/var/log/vault")


@pytest.mark.parametrize(
    ("audience", "given_", "command"),
    [
        (ON_S3, {"event_key": ID}, f"vaultwatch search {ID} --time {TIME} s3://vault-archive"),
        (ON_DISK, {"event_key": ID}, f"vaultwatch search {ID} /var/log/vault"),
        (ON_DISK, {"event_key": "0" * 64}, f"vaultwatch search {TIME} /var/log/vault"),
        (ON_DISK, {"event_key": "0" * 64, "service": "server"}, f"vaultwatch search {TIME} /var/log/vault"),
        (Audience(), {"event_key": ID}, ""),
        (ON_S3, {"event_key": ID, "time": "2020/01/02 03:04:05"}, ""),
        (ON_DISK, {"event_key": "a b; rm -rf /"}, ""),
        (ON_DISK, {"event_key": "$(reboot)"}, ""),
        (ON_DISK, {"event_key": "-rf"}, ""),
        (
            ON_DISK,
            {"event_key": f"{ID}.authed.workflow.a.flow[0].{'b' * 200}.request[0].c"},
            f"vaultwatch search {ID} /var/log/vault",
        ),
    ],
)
def test_an_entry_is_found_by_its_id_and_a_message_by_its_time(
    audience: Audience, given_: dict[str, Any], command: str
) -> None:
    assert audience.search_command(replace(an_alert(), time=given_.pop("time", TIME), **given_)) == command


@given(st.text(), st.text())
def test_no_text_from_a_log_is_more_than_one_word_of_the_command(key: str, time: str) -> None:
    for audience in (ON_S3, ON_DISK):
        command = audience.search_command(replace(an_alert(), event_key=key, time=time))
        if command:
            words = shlex.split(command)
            assert words[:2] == ["vaultwatch", "search"]
            assert (words[2] in (key, time), len(words)) == (True, 6 if audience is ON_S3 else 4)
            assert not words[2].startswith("-")


def test_it_is_the_last_thing_to_do_next() -> None:
    alert = replace(an_alert(), event_key=ID, actions=tuple(map(str, range(30))))
    assert action_lines(alert, ON_DISK)[-2:] == ["(10 more)", f"vaultwatch search {ID} /var/log/vault"]


@pytest.mark.parametrize("audience", [ON_S3, ON_DISK])
def test_it_can_be_copied_from_a_mail_and_from_slack(audience: Audience) -> None:
    notification = a_message(replace(an_alert(), event_key=ID, time=TIME))
    command = audience.search_command(notification.alerts[0])
    assert f"  {command}\n" in email_text(notification, audience)
    assert command in json.dumps(posts(notification, audience))
