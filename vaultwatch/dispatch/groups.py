"""Which group an alert belongs to, and the suppression window that its first alert opens.

Within the window, further alerts of the group are counted. At its end they are summed up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.drafts import Head, head_of
from vaultwatch.dispatch.limits import CLOCK_STEP_SECONDS
from vaultwatch.dispatch.notification import Filing
from vaultwatch.dispatch.tallies import Tally, count_alert
from vaultwatch.printable import encodable
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Level

WINDOW_SECONDS: Mapping[Level, float] = {
    Level.CRITICAL: 300.0,
    Level.HIGH: 900.0,
    Level.MEDIUM: 3600.0,
    Level.LOW: 3600.0,
    Level.INFORMATIONAL: 3600.0,
}
MAX_TRAITS = 12


class Window(msgspec.Struct, frozen=True):
    """The suppression window of a group.

    `notified` says how many of its alerts were notified one by one, `traits` (short digests) which path, address and
    outcome a reader has seen, `tally` what followed. `urgent` if what followed must be notified whatever it is.
    """

    group: str
    head: Head
    opened_at: float
    closes_at: float
    traits: tuple[str, ...]
    notified: int = 1
    tally: Tally | None = None
    urgent: bool = False

    def is_open(self, now: float) -> bool:
        """Whether it still suppresses; not before it was opened, as after a clock was set back."""
        return self.opened_at - CLOCK_STEP_SECONDS <= now < self.closes_at


def file_alert(alert: Alert) -> Filing:
    """The alert with its group and its suppression window."""
    return Filing(alert, group_key(alert), window_seconds(alert), is_notified(alert))


def file_late(alert: Alert, now: float, live_since: Mapping[str, float], remembered_seconds: float) -> Filing:
    """The filing of an alert found in the archive: marked late, and deferred to a summary if it is old.

    Old is what is older than the memory of alerts, or than its rule.
    """
    filing = file_alert(replace(alert, late=True))
    moment = parse_time(alert.time)
    since = max(now - remembered_seconds, live_since.get(alert.rule, 0.0))
    return replace(filing, deferred=moment is not None and moment.timestamp() < since)


def is_notified(alert: Alert) -> bool:
    """Whether people are notified of alerts like this one; staged and informational ones are only stored."""
    return not alert.staged and alert.level is not Level.INFORMATIONAL


def window_seconds(alert: Alert) -> float:
    """How long the alert's group is suppressed once it was notified: the rule's own time, else that of its level."""
    return WINDOW_SECONDS[alert.level] if alert.window_seconds is None else float(alert.window_seconds)


def group_key(alert: Alert) -> str:
    """32 hex digits over what makes an act the same act.

    That is rule, principal, namespace, the values of the rule's `group_by`, whether it was denied (an unknown outcome
    counts as done), and for levels high and critical the path, unless the rule names its own fields.
    """
    path = alert.path if alert.level.rank >= Level.HIGH.rank and not alert.group_values else ""
    parts = [alert.rule, alert.principal, alert.namespace, path, *alert.group_values]
    return _digest([str(was_denied(alert)), *map(encodable, parts)])[:32]


def was_denied(alert: Alert) -> bool:
    """Whether the act was denied or failed; without a response it counts as done."""
    return alert.outcome == "failed"


def is_urgent(alert: Alert) -> bool:
    """Whether it is critical and was not denied: `limits` says what that means."""
    return alert.level is Level.CRITICAL and not was_denied(alert)


def open_window(filing: Filing, now: float) -> Window:
    """The window that a notification of this alert opens."""
    alert = filing.alert
    return Window(filing.group, head_of(alert), now, now + filing.window_seconds, traits_of(alert))


def count_repeat(window: Window, alert: Alert) -> Window:
    """The window with one more alert that followed."""
    new = [trait for trait in traits_of(alert) if trait not in window.traits]
    novel = bool(new) and len(window.traits) < MAX_TRAITS
    tally = count_alert(window.tally, alert, window.group, announced=True, novel=novel)
    return replace(window, tally=tally, traits=(*window.traits, *new)[:MAX_TRAITS])


def traits_of(alert: Alert) -> tuple[str, ...]:
    """Short digests of what a reader would call different about two alerts of a group."""
    texts = {"path": alert.path, "address": alert.remote_address, "outcome": alert.outcome}
    return tuple(_digest([name, encodable(text)])[:8] for name, text in texts.items())


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
