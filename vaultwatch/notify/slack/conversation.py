"""Update a group's message and its thread with each notification; pure functions on `Thread`."""

from __future__ import annotations

from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.groups import group_key
from vaultwatch.dispatch.notification import Merged, Notification
from vaultwatch.notify import text
from vaultwatch.notify.slack import layout
from vaultwatch.printable import counted
from vaultwatch.store.threads import Thread

QUIET_SECONDS = 2 * 3_600.0
"""After this time without a notification, the next one is a new message: twice the longest suppression window."""
LONGEST_SECONDS = 24 * 3_600.0
_POSTS_REMEMBERED = 50
_LATEST_LIMIT = 600


def begin(notification: Notification, now: float, audience: Audience = EVERYBODY) -> Thread:
    """Return a new thread for a notification, before Slack has accepted its message and given it a name."""
    return Thread(
        channel="",
        ts="",
        begun_at=now,
        expires_at=now,
        level=notification.level,
        headline=text.headline(notification, audience),
        body=layout.portions(notification, audience)[0],
    )


def is_live(thread: Thread, now: float) -> bool:
    """Return whether the group's next notification belongs to this thread; no longer if the clock was set back."""
    return thread.begun_at <= now < thread.expires_at


def has_post(thread: Thread, notification: Notification, number: int) -> bool:
    """Return whether Slack has accepted post `number` of a notification, counted from 0."""
    return _key(notification, number) in thread.posted


def with_post(
    thread: Thread, notification: Notification, number: int, now: float, audience: Audience = EVERYBODY
) -> Thread:
    """Return the thread with a post added; the first post of a notification counts its alerts."""
    keys = (*thread.posted, _key(notification, number))[-_POSTS_REMEMBERED:]
    noted = replace(thread, posted=keys, expires_at=min(now + QUIET_SECONDS, thread.begun_at + LONGEST_SECONDS))
    return noted if number else _counted(noted, notification, audience)


def shown(thread: Thread) -> layout.Post:
    """Return the group's message: its first notification, below a summary of what followed."""
    so_far = []
    if thread.notifications > 1:
        counts = (
            f"{counted(thread.alerts, 'alert')} in {thread.notifications:,} notifications, each in the thread. Latest:"
        )
        so_far = [layout.section(f"{counts} {thread.latest}")]
    return layout.under_headline(thread.level, thread.headline, [*so_far, *thread.body])


def _counted(thread: Thread, notification: Notification, audience: Audience) -> Thread:
    worse = notification.level.rank > thread.level.rank
    return replace(
        thread,
        level=notification.level if worse else thread.level,
        headline=text.headline(notification, audience) if worse else thread.headline,
        alerts=thread.alerts + _own_alerts(notification) + sum(merged.count for merged in _own(notification)),
        notifications=thread.notifications + 1,
        latest=_about(_latest(notification), audience),
    )


def _own(notification: Notification) -> list[Merged]:
    """Return the counts of the notification's own group; it may also count groups that the rate limit held back."""
    return [merged for merged in notification.merged if merged.group == notification.group]


def _own_alerts(notification: Notification) -> int:
    """Return how many alerts of the notification's own group it carries."""
    groups = [group_key(alert) for alert in notification.alerts]
    return groups.count(groups[0]) if groups else 0


def _latest(notification: Notification) -> Alert | None:
    counted = [merged.latest for merged in _own(notification) if merged.alerts]
    return next(iter([*notification.alerts, *counted]), None)


def _about(alert: Alert | None, audience: Audience) -> str:
    return (
        ""
        if alert is None
        else text.shortened(f"{text.local_time(alert.time, audience)} {alert.summary or alert.title}", _LATEST_LIMIT)
    )


def _key(notification: Notification, number: int) -> str:
    return f"{notification.id}/{number}"
