"""The recorded session of the demo at its pace, on a clock of the test: all that a person gets of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from testbed.recorded import DEFAULT_SCENARIOS, load
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.dispatch.routes import Route
from vaultwatch.notify.text import headline
from vaultwatch.rules.facts import Service
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.store.sqlite import SqliteStore

MOST_NOTIFICATIONS = 26
SERVICES: tuple[Service, ...] = ("audit", "server")
Timed = list[tuple[float, Alert]]
Calls = list[tuple[float, list[Alert]]]


@cache
def alerts_of_the_session() -> dict[Service, Timed]:
    """Return the alerts of each log, with the second at which they are raised: each scenario takes one second."""
    return {service: _alerts(service) for service in SERVICES}


def _alerts(service: Service) -> Timed:
    detector = Detector(shipped_rules(), source="server" if service == "server" else "audit")
    found: Timed = []
    now = 0.0
    for start, name in enumerate(DEFAULT_SCENARIOS):
        lines = load(name).lines
        for number, (log, line) in enumerate(lines):
            now = start + number / len(lines)
            verdicts = detector.due(now) + (detector.feed([b"@demo/vault-1/x " + line], now) if log == service else [])
            found += [(now, alert_of(verdict)) for verdict in verdicts]
    return found + [(now, alert_of(verdict)) for verdict in detector.flush()]


def as_watch(found: Timed) -> Calls:
    """Gather the alerts of one log as `watch` does: the first at once, those within a second of it together."""
    calls: Calls = []
    for at, alert in found:
        if calls and at <= calls[-1][0]:
            calls[-1][1].append(alert)
        else:
            calls.append((max(at, calls[-1][0] + 1.0 if calls else at), [alert]))
    return calls


def as_frames(found: Timed) -> Calls:
    """Gather the alerts of one log as on AWS, where `ship` closes a frame a second after its first line."""
    seconds = {int(at) + 1.0: [alert for other, alert in found if int(other) == int(at)] for at, _ in found}
    return sorted(seconds.items())


def notified(calls: Calls, folder: Path) -> Iterator[Notification]:
    """Yield what a person gets; summaries are made whenever they are due, until none is left."""
    with closing(SqliteStore(folder / "alerts.sqlite", [Route("people")])) as store:
        for at, alerts in sorted(calls, key=lambda call: call[0]):
            while (due := store.next_due(at)) is not None and due <= at:
                yield from store.settle(due)
            yield from store.file([file_alert(alert) for alert in alerts], at).notifications
        while (due := store.next_due(at)) is not None:
            at = due
            yield from store.settle(due)


def shown(notification: Notification) -> set[str]:
    return {alert.id for alert in (*notification.alerts, *(one for of in notification.merged for one in of.alerts))}


@pytest.fixture(params=[as_watch, as_frames], ids=["watch", "aws"])
def notifications(request: pytest.FixtureRequest, tmp_path: Path) -> Sequence[Notification]:
    gather: Callable[[Timed], Calls] = request.param
    return list(notified([call for found in alerts_of_the_session().values() for call in gather(found)], tmp_path))


def test_it_is_at_most_twenty_six_notifications_with_all_later_summaries(notifications: Sequence[Notification]) -> None:
    assert 0 < len(notifications) <= MOST_NOTIFICATIONS, [headline(one) for one in notifications]


def test_each_notification_shows_an_alert_that_none_before_it_has_shown(notifications: Sequence[Notification]) -> None:
    seen: set[str] = set()
    for notification in notifications:
        assert shown(notification) - seen, headline(notification)
        seen |= shown(notification)


def test_every_alert_that_is_worth_a_notification_is_shown_or_counted(notifications: Sequence[Notification]) -> None:
    alerts = [alert for found in alerts_of_the_session().values() for _, alert in found]
    seen = {alert for notification in notifications for alert in shown(notification)}
    urgent = {alert.id for alert in alerts if alert.level == "critical" and alert.service == "audit"}
    assert len(urgent) == 7
    assert urgent <= seen
