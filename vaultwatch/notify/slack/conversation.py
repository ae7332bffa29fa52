"""How a group's message and its thread grow with each notification; pure functions on `Thread`."""

from __future__ import annotations

from datetime import UTC, tzinfo

from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import Merged, Notification
from vaultwatch.notify import text
from vaultwatch.notify.slack import layout
from vaultwatch.store.threads import Thread

QUIET_SECONDS = 2 * 3_600.0
"""Without a notification for so long, the next one begins a new message: twice the longest suppression window."""
LONGEST_SECONDS = 24 * 3_600.0
_POSTS_REMEMBERED = 50
_LATEST_LIMIT = 600


def begin(notification: Notification, now: float, zone: tzinfo = UTC) -> Thread:
    """Return the thread that the notification begins, before Slack has accepted and named its message."""
    return Thread(
        channel="",
        ts="",
        begun_at=now,
        expires_at=now,
        level=notification.level,
        headline=text.headline(notification, zone),
        body=layout.portions(notification, zone)[0],
    )


def is_live(thread: Thread, now: float) -> bool:
    """Return whether the group's next notification belongs in this thread; a clock that was set back ends it."""
    return thread.begun_at <= now < thread.expires_at


def has_post(thread: Thread, notification: Notification, number: int) -> bool:
    """Return whether Slack has accepted the notification's post of that number, from 0."""
    return _key(notification, number) in thread.posted


def with_post(thread: Thread, notification: Notification, number: int, now: float, zone: tzinfo = UTC) -> Thread:
    """Return the thread with that post in it; its first post counts the notification's alerts."""
    keys = (*thread.posted, _key(notification, number))[-_POSTS_REMEMBERED:]
    noted = replace(thread, posted=keys, expires_at=min(now + QUIET_SECONDS, thread.begun_at + LONGEST_SECONDS))
    return noted if number else _counted(noted, notification, zone)


def shown(thread: Thread) -> layout.Post:
    """Return the group's message: its first notification, under what has become of the group since."""
    so_far = []
    if thread.notifications > 1:
        counts = f"{text.alerts(thread.alerts)} in {thread.notifications:,} notifications, each in the thread. Latest:"
        so_far = [layout.section(f"{counts} {thread.latest}")]
    return layout.under_headline(thread.level, thread.headline, [*so_far, *thread.body])


def _counted(thread: Thread, notification: Notification, zone: tzinfo) -> Thread:
    worse = notification.level.rank > thread.level.rank
    return replace(
        thread,
        level=notification.level if worse else thread.level,
        headline=text.headline(notification, zone) if worse else thread.headline,
        alerts=thread.alerts + bool(notification.alerts) + sum(merged.count for merged in _own(notification)),
        notifications=thread.notifications + 1,
        latest=_about(_latest(notification), zone),
    )


def _own(notification: Notification) -> list[Merged]:
    """Return what the notification counts of its own group; it may count others, which the rate limit held back."""
    return [merged for merged in notification.merged if merged.group == notification.group]


def _latest(notification: Notification) -> Alert | None:
    counted = [merged.latest for merged in _own(notification) if merged.alerts]
    return next(iter([*notification.alerts, *counted]), None)


def _about(alert: Alert | None, zone: tzinfo) -> str:
    return (
        ""
        if alert is None
        else text.visible(f"{text.local_time(alert.time, zone)} {alert.summary or alert.title}", _LATEST_LIMIT)
    )


def _key(notification: Notification, number: int) -> str:
    return f"{notification.id}/{number}"
