"""What is told, as text for people and as JSON for machines.

`headline` holds nothing that came from a log; everything else here does, made visible and bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import WINDOW_SECONDS
from vaultwatch.dispatch.notification import NOTIFIED, Merged, Notification
from vaultwatch.printable import spelled_out
from vaultwatch.rules.facts import Level

FACT_LIMIT = 300
SUMMARY_LIMIT = 1_500
ACTION_LIMIT = 2_500
ACTIONS_SHOWN = 20
LEVEL_SIGNS = {
    Level.CRITICAL: "\N{LARGE RED CIRCLE}",
    Level.HIGH: "\N{LARGE ORANGE CIRCLE}",
    Level.MEDIUM: "\N{LARGE YELLOW CIRCLE}",
    Level.LOW: "\N{LARGE BLUE CIRCLE}",
    Level.INFORMATIONAL: "\N{MEDIUM WHITE CIRCLE}",
}


_LOG_TEXTS = ("time", "event_key", "summary", "principal", "path", "namespace", "remote_address", "cluster", "node")


def visible(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, spelled out (`vaultwatch.printable`); a cut is marked."""
    shown = spelled_out(text[:limit])
    if len(shown) <= limit and len(text) <= limit:
        return shown
    mark = f"… ({len(text):,} characters)"
    return shown[: max(0, limit - len(mark))] + mark


def headline(message: Notification) -> str:
    """Level, title and counts, in our own words only: safe wherever markup is read."""
    title = visible(message.title, 90)
    if not message.alerts:
        return f"{message.level.upper()}: {title}: {alerts(message.merged_count)}, counted"
    more = f" and {alerts(len(message.alerts) - 1)} more of this event" if len(message.alerts) > 1 else ""
    counted = f", {alerts(message.merged_count)} counted before" if message.merged_count else ""
    return f"{message.level.upper()}: {title}{more}{counted}"


def alerts(count: int) -> str:
    """`1 alert`, `2 alerts`."""
    return f"{count:,} alert" if count == 1 else f"{count:,} alerts"


def facts(alert: Alert) -> Iterator[tuple[str, str]]:
    """What a reader needs to see of an alert, by name; what is empty is left out."""
    where = "/".join(part for part in (alert.cluster, alert.node) if part)
    named = {
        "principal": alert.principal,
        "path": alert.path,
        "namespace": alert.namespace,
        "from": alert.remote_address,
        "node": where,
        "time": alert.time,
        "outcome": alert.outcome,
        "rule": alert.rule,
        "alert": alert.id,
    }
    for name, value in named.items():
        if value:
            yield name, visible(value, FACT_LIMIT)


def fact_lines(alert: Alert) -> str:
    """The facts, one a line, in two columns."""
    return "\n".join(f"{name:<10} {value}" for name, value in facts(alert))


def action_lines(alert: Alert) -> list[str]:
    """What to do next, one a line, each whole up to 2,500 characters."""
    actions = [action for action in alert.actions if action]
    lines = [visible(action, ACTION_LIMIT) for action in actions[:ACTIONS_SHOWN]]
    left = len(actions) - len(lines)
    return [*lines, f"({left} more)"] if left > 0 else lines


def summary_line(alert: Alert) -> str:
    """The alert's one sentence."""
    note = " (found late, in the archive)" if alert.late else ""
    return visible(alert.summary or alert.title, SUMMARY_LIMIT) + note


def counted_line(message: Notification) -> str:
    """What the counts are, in our own words."""
    return f"{alerts(message.merged_count)} counted, not part of an earlier notification."


def merged_lines(message: Notification) -> list[str]:
    """The groups behind the counts, one a line, and how much of the count stands in none of these lines."""
    lines = [_merged_line(merged) for merged in message.merged]
    left = message.merged_count - sum(merged.count for merged in message.merged)
    return [*lines, f"{left:>7,} x in groups not listed here"] if left else lines


def quiet_note(message: Notification) -> str:
    """How long the reader will not hear of more of the same, in our own words."""
    minutes = WINDOW_SECONDS[message.level] / 60
    return f"More of the same is counted for {minutes:.0f} minutes and then told in one summary."


def email_text(message: Notification) -> str:
    """The message as plain text, at most about 25,000 characters."""
    parts = [headline(message)]
    for alert in message.alerts[:5]:
        parts += _email_alert(alert)
    if len(message.alerts) > 5:
        parts += [f"{alerts(len(message.alerts) - 5)} more of this event:", *map(_short, message.alerts[5:])]
    if message.merged_count:
        parts += [counted_line(message), "\n".join(merged_lines(message))]
    if message.disposition == "first":
        parts.append(quiet_note(message))
    return "\n\n".join(parts) + "\n"


def machine_json(message: Notification, limit_bytes: int) -> bytes:
    """The message as JSON for `decode_message`, records shrunk first, then lists, until it has at most that size.

    What a record was replaced by says so, with the SHA-256 of the record's JSON.
    """
    for smaller in (_whole, _without_records, _without_lists, _bare):
        encoded = _encode(smaller(message))
        if len(encoded) <= limit_bytes:
            return encoded
    return encoded


def decode_message(body: bytes) -> Notification:
    """The message that `machine_json` wrote; raises `msgspec.DecodeError`."""
    return msgspec.json.decode(body, type=Notification)


def is_for_people(message: Notification) -> bool:
    """Whether people are told, or only an archive."""
    return message.disposition in NOTIFIED


def _encode(message: Notification) -> bytes:
    """JSON in which no character stands that SQS refuses (API reference, SendMessage); JSON escapes but two of them."""
    encoded = msgspec.json.encode(message)
    for character in ("\ufffe", "\uffff"):
        encoded = encoded.replace(character.encode(), character.encode("ascii", "backslashreplace"))
    return encoded


def _merged_line(merged: Merged) -> str:
    return f"{merged.count:>7,} x {_short(merged.latest)}"


def _short(alert: Alert) -> str:
    named = (("path", alert.path), ("namespace", alert.namespace), ("since", alert.time), ("alert", alert.id))
    rest = ", ".join(f"{name} {visible(value, 80)}" for name, value in named if value)
    return f"{visible(alert.principal or alert.title, 80)}: {rest}"


def _email_alert(alert: Alert) -> Iterator[str]:
    yield summary_line(alert)
    yield "\n".join(f"  {line}" for line in fact_lines(alert).split("\n"))
    if alert.actions:
        yield "What to do next:\n" + "\n".join(f"  {line}" for line in action_lines(alert))


def _whole(message: Notification) -> Notification:
    return message


def _without_records(message: Notification) -> Notification:
    return replace(message, alerts=tuple(map(_without_record, message.alerts)))


def _without_record(alert: Alert) -> Alert:
    whole = msgspec.json.encode(alert.record)
    marker = {"omitted": "too large for one message", "bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return replace(alert, record={"vaultwatch": marker})


def _without_lists(message: Notification) -> Notification:
    return replace(message, merged=(), alerts=tuple(_shortened(alert, FACT_LIMIT) for alert in message.alerts))


def _bare(message: Notification) -> Notification:
    return replace(message, merged=(), alerts=tuple(_named(alert) for alert in message.alerts))


def _named(alert: Alert) -> Alert:
    """What is known by its id only: 25 such alerts, each quoted twice, are what every sink has room for."""
    kept = {"time": visible(alert.time, 40), "event_key": visible(alert.event_key, 70)}
    return replace(_without_record(alert), actions=(), **(dict.fromkeys(_LOG_TEXTS, "") | kept))


def _shortened(alert: Alert, limit: int) -> Alert:
    texts = {name: visible(getattr(alert, name), limit) for name in _LOG_TEXTS}
    return replace(_without_record(alert), actions=tuple(action_lines(alert)), **texts)
