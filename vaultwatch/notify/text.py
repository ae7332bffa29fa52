"""Notifications as text for people.

Only `headline` is free of text from a log; in all other texts it is made printable and shortened. Times are in the
deployment's time zone, to the second; the JSON (`vaultwatch.notify.machine`) has them as logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.groups import is_each_notified, window_seconds
from vaultwatch.dispatch.notification import Merged, Notification
from vaultwatch.notify.defanging import defanged
from vaultwatch.patterns import on_first_use
from vaultwatch.printable import counted, quoted_address, spelled_out
from vaultwatch.reading.identity import Outcome, parse_time
from vaultwatch.rules.facts import Level
from vaultwatch.sentences import outcome_words, span

FACT_LIMIT = 300
SUMMARY_LIMIT = 1_500


class Lengths(NamedTuple):
    """How long the parts of a notification may be.

    Attributes:
        fact: The characters of a fact.
        sentence: Those of an alert's sentence.
        alerts: How many alerts have their facts and steps; the others have a line each.
        is_brief: Whether counted groups are shown with fewer lines.
    """

    fact: int
    sentence: int
    alerts: int = 1_000
    is_brief: bool = False


FULL = Lengths(FACT_LIMIT, SUMMARY_LIMIT)
SHORT = Lengths(100, 250)
BRIEF = Lengths(40, 80, is_brief=True)
LISTED = Lengths(40, 80, alerts=3, is_brief=True)
FIRST_ONLY = Lengths(40, 80, alerts=1, is_brief=True)
ACTION_LIMIT = 2_500
ACTIONS_SHOWN = 20
LEVEL_SIGNS = {
    Level.CRITICAL: "\N{LARGE RED CIRCLE}",
    Level.HIGH: "\N{LARGE ORANGE CIRCLE}",
    Level.MEDIUM: "\N{LARGE YELLOW CIRCLE}",
    Level.LOW: "\N{LARGE BLUE CIRCLE}",
    Level.INFORMATIONAL: "\N{MEDIUM WHITE CIRCLE}",
}
_EMAILED_ALERTS = 5
_ENTITY = on_first_use(r" \(entity [A-Za-z0-9-]{1,64}\)\Z")


def visible(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, made printable (`vaultwatch.printable`); a cut is marked."""
    shown = spelled_out(text[:limit])
    if len(shown) <= limit and len(text) <= limit:
        return shown
    mark = f"… ({len(text):,} characters)"
    return shown[: max(0, limit - len(mark))] + mark


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text of ours that quotes others: a quotation in which it is cut is closed.

    Args:
        text: A sentence or a fact. What it quotes has no quotation marks in it (`vaultwatch.printable.quoted`).
        limit: The most characters to return.
    """
    shown = visible(text, limit)
    if shown == spelled_out(text) or shown.count('"') % 2 == 0:
        return shown
    mark = f'…" ({len(text):,} characters)'
    kept = shown[: limit - len(mark)]
    return kept + (mark if kept.count('"') % 2 else mark.replace('"', ""))


def headline(notification: Notification, audience: Audience = EVERYBODY) -> str:
    """Return level, title and counts. Nothing in it comes from a log, so it is safe wherever markup is interpreted.

    Args:
        notification: The notification.
        audience: Whom it is for.
    """
    head = f"{notification.level.upper()}: {visible(notification.title, 90)}"
    if not notification.alerts:
        return f"{head}: {notification.merged_count:,} more{_since(notification, audience)}"
    others = len(notification.alerts) - 1
    more = f" and {_more(others, notification)}" if others else ""
    counted = f", plus {notification.merged_count:,} earlier" if notification.merged_count else ""
    return f"{head}{more}{counted}{_hidden_success(notification)}"


def local_time(logged: str, audience: Audience) -> str:
    """Return a time for people, `2026-11-21 08:29:41 CET`; if it is not RFC 3339, as it was logged, quoted."""
    moment = parse_time(logged)
    return f"{moment.astimezone(audience.zone):%Y-%m-%d %H:%M:%S %Z}" if moment else _quoted(logged)


def facts(alert: Alert, audience: Audience = EVERYBODY, limit: int = FACT_LIMIT) -> Iterator[tuple[str, str]]:
    """Yield the facts about an alert that a reader needs, name and value, without empty ones.

    A text from a log is quoted unless it is a plain name, as in sentences: it can imitate no further fact.

    Args:
        alert: The alert.
        audience: Whom they are for.
        limit: The most characters of a value; those of the alert's id and its rule are never cut.
    """
    is_audit = alert.service == "audit"
    named = {
        "who": alert.who or (_quoted(alert.principal, limit) if is_audit else ""),
        "path": _quoted(alert.path, limit),
        "namespace": _quoted(alert.namespace, limit),
        "from": _quoted(alert.remote_address, limit),
        "node": _quoted("/".join(part for part in (alert.cluster, alert.node) if part), limit),
        "time": local_time(alert.time, audience),
        "outcome": outcome_words(alert.outcome, alert.error) if is_audit else "",
        "error": "" if is_audit else _quoted(alert.error, limit),
    }
    for name, value in named.items():
        if value:
            yield name, _caller(value, limit) if name == "who" else shortened(value, limit)
    yield "rule", shortened(alert.rule, FACT_LIMIT)
    yield "alert", alert.id


def _quoted(text: str, limit: int = FACT_LIMIT) -> str:
    shown = quoted_address(visible(text, limit))
    return (shown if len(shown) <= limit else quoted_address(visible(text, limit - 2))) if text else ""


def in_columns(facts: Mapping[str, str]) -> list[str]:
    """Return the facts as lines, in two columns."""
    return [f"{name:<10} {value}" for name, value in facts.items()]


def action_lines(alert: Alert, audience: Audience = EVERYBODY) -> list[str]:
    """Return what to do next, one step per line, each cut at 2,500 characters; last, how to see the alert's entries."""
    actions = [action for action in alert.actions if action]
    lines = [visible(action, ACTION_LIMIT) for action in actions[:ACTIONS_SHOWN]]
    if left := len(actions) - len(lines):
        lines.append(f"({left} more)")
    return [*lines, *filter(None, [audience.search_command(alert)])]


def summary_line(alert: Alert, limit: int = SUMMARY_LIMIT) -> str:
    """Return the alert's sentence, cut at `limit` characters, with a note if the alert is delayed."""
    note = " (delayed: found in the archive)" if alert.late else ""
    return shortened(alert.summary or alert.title, limit) + note


def counted_line(notification: Notification) -> str:
    """Return a sentence that introduces the counted groups."""
    return f"{counted(notification.merged_count, 'alert')} that no earlier notification shows, worst first:"


def merged_lines(notification: Notification, audience: Audience = EVERYBODY, lengths: Lengths = FULL) -> list[str]:
    """Return the counted groups, the worst first, and the number of alerts in groups that are not listed.

    Each group has a line with its count, title and caller, then its time and outcomes, and a sentence each for
    its worst and, unless it is to be brief, its latest alert.
    """
    lines = [line for merged in notification.merged for line in _merged_lines(merged, audience, lengths)]
    left = notification.merged_count - sum(merged.count for merged in notification.merged)
    return [*lines, f"{left:>7,} x in groups not listed here"] if left > 0 else lines


def window_note(notification: Notification) -> str:
    """Return the last sentence of a notification: how long repeats of its alerts are suppressed, if it has no other."""
    if notification.note:
        return notification.note
    windows = [window_seconds(alert) for alert in notification.alerts if not is_each_notified(alert)]
    if notification.alerts and not windows:
        return "Further ones are notified at most once a minute."
    seconds = min(windows, default=0.0)
    if not seconds:
        return "The complete entries are in the alert log."
    return f"Repeats in the next {span(round(seconds))} arrive in one summary."


def email_text(notification: Notification, audience: Audience = EVERYBODY) -> str:
    """Return the notification as plain text without links, at most about 25,000 characters."""
    parts = [headline(notification, audience)]
    for alert in notification.alerts[:_EMAILED_ALERTS]:
        parts += _email_alert(alert, audience)
    if listed := listed_lines(notification, _EMAILED_ALERTS, FULL):
        parts.append("\n".join(listed))
    if notification.merged_count:
        parts += [counted_line(notification), "\n".join(merged_lines(notification, audience))]
    if notification.disposition == "first":
        parts.append(window_note(notification))
    return defanged("\n\n".join(parts), audience.archive) + "\n"


def listed_lines(notification: Notification, shown: int, lengths: Lengths) -> list[str]:
    """Return a heading, and a line for each of the alerts behind the first `shown`; [] if there are none."""
    rest = notification.alerts[shown:]
    limit = min(lengths.sentence, FACT_LIMIT)
    return [f"{_more(len(rest), notification)}:", *(_short(alert, limit) for alert in rest)] if rest else []


def _more(count: int, notification: Notification) -> str:
    is_one_event = len({alert.event_key for alert in notification.alerts}) == 1
    return counted(count, "more alert") + (" on the same event" if is_one_event else "")


def _hidden_success(notification: Notification) -> str:
    """Return a warning that something succeeded among the counted alerts, if the notification's own were all denied."""
    succeeded = sum(merged.outcomes.get("succeeded", 0) for merged in notification.merged)
    if not succeeded or any(alert.outcome != "failed" for alert in notification.alerts):
        return ""
    return f" ({succeeded:,} succeeded)"


def _since(notification: Notification, audience: Audience) -> str:
    """Return the time of the first counted alert, formatted here and not copied from the log."""
    moments = [moment for merged in notification.merged if (moment := parse_time(merged.first_time))]
    if not moments:
        return ""
    zone = audience.zone
    first, made = min(moments).astimezone(zone), datetime.fromtimestamp(notification.created_at, zone)
    return f" since {first:%H:%M}" if first.date() == made.date() else f" since {first:%Y-%m-%d %H:%M}"


def _merged_lines(merged: Merged, audience: Audience, lengths: Lengths) -> Iterator[str]:
    worst, latest = merged.worst, merged.latest
    who = worst.who or _quoted(worst.principal)
    by = f" by {_caller(who, min(lengths.fact, 120))}" if who else ""
    yield f"{merged.count:>7,} x {visible(worst.title, 90)}{by}"
    yield f"{'':>10}{_period(merged, audience)}{_outcomes(merged)}"
    limit = max(lengths.fact, BRIEF.sentence)
    yield f"{'':>10}{_deed_line(worst, limit)}"
    if lengths.is_brief:
        return
    if latest.id != worst.id:
        yield f"{'':>10}latest: {_deed_line(latest, limit)}"
    yield f"{'':>10}rule {worst.rule}, alert {latest.id}"


def _deed_line(alert: Alert, limit: int) -> str:
    """Return the alert's sentence; if that is too long, without its caller, whom a line above names."""
    name = _ENTITY().sub("", alert.who)
    if name and len(alert.summary) > limit and alert.summary.startswith((f"{name} ", f"{name}: ")):
        alert = replace(alert, summary=f"…{alert.summary.removeprefix(name)}")
    return summary_line(alert, limit)


def _caller(who: str, limit: int) -> str:
    """Return at most `limit` characters of a caller's name, and the id of the entity, which is unique."""
    if len(who) <= limit or not (entity := _ENTITY().search(who)):
        return shortened(who, limit)
    return shortened(who[: entity.start()], limit) + entity.group()


def _period(merged: Merged, audience: Audience) -> str:
    first, last = local_time(merged.first_time, audience), local_time(merged.last_time, audience)
    return first if first == last else f"{first} to {last}"


def _outcomes(merged: Merged) -> str:
    """Return how many requests had which outcome; "" for server-log messages, which have none."""
    if merged.worst.service == "server":
        return ""
    order: tuple[Outcome, ...] = ("succeeded", "unknown", "failed")
    counted = [(outcome, merged.outcomes.get(outcome, 0)) for outcome in order]
    return ": " + ", ".join(f"{count:,} {_counted_words(outcome)}" for outcome, count in counted if count)


def _counted_words(outcome: Outcome) -> str:
    # A response that came later has completed the alert, not the count.
    return "without a response when counted" if outcome == "unknown" else outcome_words(outcome, "")


def _short(alert: Alert, limit: int) -> str:
    return f"  {alert.level}: {visible(alert.title, 90)}: {_deed_line(alert, limit)} (rule {alert.rule})"


def _email_alert(alert: Alert, audience: Audience) -> Iterator[str]:
    yield summary_line(alert)
    yield "\n".join(f"  {line}" for line in in_columns(dict(facts(alert, audience))))
    if actions := action_lines(alert, audience):
        yield "What to do next:\n" + "\n".join(f"  {line}" for line in actions)
