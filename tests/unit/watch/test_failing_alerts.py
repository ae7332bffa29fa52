"""An alert whose content makes our own code raise, at whatever step of `watch`, costs at most its own texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.slack import SlackStandIn
from testbed.slack.limits import texts
from tests.support.faults import raise_on
from tests.support.watching import FAST, Watching, alerts_in, entry, options, unsent
from vaultwatch.alerts import alert_id
from vaultwatch.dispatch import decisions, groups
from vaultwatch.store import sqlite
from vaultwatch.watch import journal
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

NAMES = ("alice", "mallory", "carol")
LINES = b"".join(entry(number, principal=name) for number, name in enumerate(NAMES))
MALLORYS = alert_id("audit_device_enabled", "00000000-0000-4000-8000-000000000001")
STORING: dict[str, tuple[Any, str]] = {
    "group": (groups, "group_key"),
    "decision": (sqlite, "file_event"),
    "importance": (decisions, "importance"),
    "row": (sqlite, "encode_alert"),
}


def names(*texts: object) -> set[str]:
    return {name for name in NAMES for text in texts if name in str(text)}


@pytest.mark.parametrize("step", STORING)
def test_an_alert_that_cannot_be_stored_is_stored_and_notified_without_its_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    raise_on(monkeypatch, *STORING[step], "mallory")
    with SlackStandIn(interval_seconds=0) as slack:
        good = options(tmp_path, environment={WEBHOOK_VARIABLE: slack.webhook_url})
        with Watching(good) as watching:
            watching.write(LINES)
            watching.wait_for_alerts(3)
            watching.wait_for_log(f"alert {MALLORYS} of audit_device_enabled is stored without its texts: ZeroDivision")
            slack.wait_for(3)
    assert good.alert_log is not None
    alerts = {alert["id"]: alert["summary"] for alert in alerts_in(good.alert_log)}
    assert len(alerts) == 3
    assert "left out" in alerts[MALLORYS]
    assert names(*alerts.values()) == {"alice", "carol"}
    assert unsent(good, "slack") == 0
    posts = [" ".join(texts(post.blocks)) for post in slack.messages]
    assert len(posts) == 3
    assert names(*posts) == {"alice", "carol"}


def test_an_alert_that_waits_for_its_response_and_cannot_be_written_waits_without_its_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, journal, "encode_alert", "mallory")
    good = options(tmp_path, pace=replace(FAST, wait_for_response_seconds=3600))
    with Watching(good) as watching:
        watching.write(b"".join(entry(number, kind="request", principal=name) for number, name in enumerate(NAMES)))
        watching.wait_until_read()
        watching.write(entry(7))
        watching.wait_for_alerts(1)
        kept, torn = journal.Journal(good.journal_file).read()
    assert torn == 0
    assert [names(alert.summary) for alert in kept] == [{"alice"}, set(), {"carol"}]
    assert kept[1].id == MALLORYS
