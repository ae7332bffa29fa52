"""Alert groups and their suppression windows.

The first alert of a group opens a window. Further alerts of the group are counted until its end, and then summarised.
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
from vaultwatch.dispatch.tallies import Tally, count_alert, outcome_weight
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

    Attributes:
        group: The key of the group.
        head: The head of the group's next notification.
        opened_at: When the window was opened.
        closes_at: When it ends.
        traits: Short digests of the paths, addresses and outcomes that a reader has seen.
        notified: How many notifications carried alerts of the group.
        tally: The repeats that were only counted.
    """

    group: str
    head: Head
    opened_at: float
    closes_at: float
    traits: tuple[str, ...]
    notified: int = 0
    tally: Tally | None = None

    def suppresses(self, filing: Filing, now: float) -> bool:
        """Return whether the window suppresses a filing of its group now.

        The row alone is not trusted: it suppresses for no longer than the rule says, whatever its end is, and not
        before `opened_at`, in case the clock was set back.
        """
        ends_at = min(self.closes_at, self.opened_at + filing.window_seconds)
        return self.head.rule == filing.alert.rule and self.opened_at - CLOCK_STEP_SECONDS <= now < ends_at


def file_alert(alert: Alert) -> Filing:
    """Return the filing of an alert: with its group and the length of its suppression window."""
    return Filing(alert, group_key(alert), window_seconds(alert), is_notified(alert), is_each=is_each_notified(alert))


def file_late(alert: Alert, now: float, live_since: Mapping[str, float], remembered_seconds: float) -> Filing:
    """Return the filing of an alert from the archive: marked late, and deferred to a summary if it is old.

    An alert is old if it is from before its rule was live, or from before the time for which alerts are remembered.
    """
    filing = file_alert(replace(alert, late=True))
    moment = parse_time(alert.time)
    since = max(now - remembered_seconds, live_since.get(alert.rule, 0.0))
    return replace(filing, deferred=moment is not None and moment.timestamp() < since)


def is_notified(alert: Alert) -> bool:
    """Return whether people are notified of such an alert; staged and informational ones are only stored."""
    return not alert.staged and alert.level is not Level.INFORMATIONAL


def window_seconds(alert: Alert) -> float:
    """Return how long an alert's group is suppressed after a notification: as its rule says, else as its level."""
    return WINDOW_SECONDS[alert.level] if alert.window_seconds is None else float(alert.window_seconds)


def group_key(alert: Alert) -> str:
    """Return the key of an alert's group: 32 hex digits.

    A group shares rule, cluster, principal, namespace, the values of the rule's `group_by`, and whether it was denied
    (an unknown outcome counts as not denied); for levels high and critical also the path, unless the rule has a
    `group_by`. Where that is the id of the request, the path is in its place, so that many acts on one path do not hide
    one on another: see `is_each_notified`.
    """
    path = alert.path if alert.level.rank >= Level.HIGH.rank and not alert.group_values else ""
    parts = [alert.rule, alert.cluster, alert.principal, alert.namespace, path, *own_values(alert)]
    return _digest([str(was_denied(alert)), *map(_distinct, parts)])[:32]


def own_values(alert: Alert) -> list[str]:
    """Return the values of the rule's own fields by which an alert is grouped."""
    return [alert.path if value == alert.event_key else value for value in alert.group_values]


def is_each_notified(alert: Alert) -> bool:
    """Return whether people are notified of it although its window is open: if its rule groups by the request's id.

    That is for acts that differ only in what the log has as a hash. Those that were denied change nothing, and are
    tried again and again: they are only counted.
    """
    return alert.event_key in alert.group_values and not was_denied(alert)


def was_denied(alert: Alert) -> bool:
    """Return whether the act was denied or failed; without a response it counts as not denied."""
    return alert.outcome == "failed"


def is_urgent(alert: Alert) -> bool:
    """Return whether an alert is critical and was not denied; see `limits` for the consequences."""
    return alert.level is Level.CRITICAL and not was_denied(alert)


def importance(alert: Alert) -> tuple[int, int]:
    """Return a sort key, the most important first: by level, then succeeded, no response logged, denied or failed."""
    return -alert.level.rank, outcome_weight(alert.outcome)


def open_window(filing: Filing, now: float) -> Window:
    """Return the window that a notification of this alert opens."""
    alert = filing.alert
    return Window(filing.group, head_of(alert), now, now + filing.window_seconds, traits_of(alert))


def count_repeat(window: Window, alert: Alert) -> Window:
    """Return the window with one more repeat."""
    seen, novel = see(window, alert)
    return replace(seen, tally=count_alert(window.tally, alert, window.group, announced=True, novel=novel))


def see(window: Window, alert: Alert) -> tuple[Window, bool]:
    """Return the window after a reader has seen this alert, and whether the alert shows something new."""
    new = [trait for trait in traits_of(alert) if trait not in window.traits]
    novel = bool(new) and len(window.traits) < MAX_TRAITS
    return replace(window, traits=(*window.traits, *new)[:MAX_TRAITS]), novel


def traits_of(alert: Alert) -> tuple[str, ...]:
    """Return short digests of the properties by which a reader distinguishes alerts of one group."""
    texts = {"path": alert.path, "address": alert.remote_address, "outcome": alert.outcome}
    return tuple(_digest([name, _distinct(text)])[:16] for name, text in texts.items())


def _distinct(text: str) -> str:
    """Return a text that JSON can contain, for each text another one."""
    shown = encodable(text)
    return shown if shown == text else f"{shown} {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
