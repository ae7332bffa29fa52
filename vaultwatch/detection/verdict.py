"""Verdicts: a rule's condition holds for a record.

Alerts are made from verdicts (`vaultwatch.alerts.alert_of`). The size of a verdict is bounded, whatever the size of its
record, so that many of them can wait for the responses to their requests.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vaultwatch.reading.bounds import bounded, brief, distinct
from vaultwatch.reading.identity import Act, Outcome, act_of
from vaultwatch.reading.records import AuditEntry, Origin, ServerMessage
from vaultwatch.reading.view import View
from vaultwatch.redaction import is_salted
from vaultwatch.rules.correlations import Counted
from vaultwatch.rules.facts import RuleFacts
from vaultwatch.rules.predicates import listed, text_of, values

_OF_CALLER = ("entity_id", "display_name", "accessor", "policies")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The match of one rule on one event.

    Attributes:
        rule: The rule that matches.
        event_key: Identifies the event (`vaultwatch.reading.identity`).
        origin: Where the record came from; without a tag, a server-log message's node is its syslog header's host.
        outcome: How the request ended; `unknown` while no response has been read.
        group_values: A text for each of the rule's `group_by` fields, "" if the field is absent.
        time: As logged: RFC 3339, or the time in a syslog header.
        record: The audit entry, or the parts of the server-log message, that matched; at most 32 KiB of JSON.
        act: What all entries of the event agree on, as far as this one shows it.
        response: The response entry that completed a verdict on a request; at most 32 KiB of JSON.
        counted: What was counted, if the rule is a correlation; then `record` is a part of the first record.
    """

    rule: RuleFacts
    event_key: str
    origin: Origin
    outcome: Outcome
    group_values: tuple[str, ...] = ()
    time: str
    record: dict[str, Any]
    act: Act = Act()
    response: dict[str, Any] | None = None
    counted: Counted | None = None


def on_entry(rule: RuleFacts, entry: AuditEntry, view: View, event_key: str) -> Verdict:
    """Return the verdict of a rule that matches an audit entry."""
    return Verdict(
        rule=rule,
        event_key=event_key,
        origin=entry.origin,
        outcome=view["outcome"],
        group_values=group_values(rule, view),
        time=brief(entry.fields.get("time")),
        record=bounded(entry.fields),
        act=act_of(entry),
    )


def on_message(rule: RuleFacts, message: ServerMessage, view: View, event_key: str, time: str) -> Verdict:
    """Return the verdict of a rule that matches a server-log message.

    Args:
        rule: The rule.
        message: The message.
        view: The view that the rule was evaluated on.
        event_key: Identifies the event.
        time: The message's own time, else the last one logged before it.
    """
    parts = {"time": message.time, "level": message.level, "module": message.module, "message": message.message}
    program = {"program": message.program} if message.program else {}
    return Verdict(
        rule=rule,
        event_key=event_key,
        origin=msgspec.structs.replace(message.origin, node=view["node"]),
        outcome="unknown",
        group_values=group_values(rule, view),
        time=brief(time),
        record=bounded({**parts, "fields": message.fields, **program, "raw": view["raw"]}),
    )


def on_silenced(rule: RuleFacts, view: View, event_key: str, origin: Origin, time: Any) -> Verdict:
    """Return the verdict of a rule whose matches are only counted, with no more of the record than who caused it.

    Args:
        rule: The rule.
        view: The view that the rule was evaluated on.
        event_key: Identifies the event.
        origin: Where the record came from.
        time: Its time, as logged.
    """
    auth, request = (view[name] if isinstance(view.get(name), dict) else {} for name in ("auth", "request"))
    return Verdict(
        rule=rule,
        event_key=event_key,
        origin=origin,
        outcome=view.get("outcome", "unknown"),
        time=brief(time),
        record={
            "auth": {name: brief(auth.get(name)) for name in _OF_CALLER if name in auth},
            "request": {"remote_address": brief(request.get("remote_address"))},
            "error": brief(view.get("error")),
        },
    )


def completed(verdict: Verdict, response: AuditEntry, view: View) -> Verdict:
    """Return the verdict on a request, completed with its response.

    Args:
        verdict: The verdict on the request.
        response: The response entry.
        view: The view of the response.
    """
    found = zip(group_values(verdict.rule, view), verdict.group_values, strict=True)
    return msgspec.structs.replace(
        verdict,
        outcome=view["outcome"],
        group_values=tuple(new or old for new, old in found),
        response=bounded(response.fields),
    )


def group_values(rule: RuleFacts, view: View) -> tuple[str, ...]:
    """Return a text for each of the rule's `group_by` fields, "" if it is absent or only logged as a salted hash.

    Each audit device has a salt of its own, so a hash would put copies of one event into different groups.
    """
    return tuple(_group_value(view, field) for field in rule.group_by)


def _group_value(view: View, field: str) -> str:
    texts = (text_of(value) for value in values(view, field))
    return distinct(listed(text for text in texts if text is not None and not is_salted(text)))
