"""Alerts: one rule matched one event, with everything that is stored, published and shown about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from vaultwatch.detection.verdict import Verdict
from vaultwatch.patterns import on_first_use
from vaultwatch.reading.bounds import bounded, brief, distinct
from vaultwatch.reading.identity import Outcome
from vaultwatch.redaction import redacted
from vaultwatch.revocation import program_of, program_of_message, revocations
from vaultwatch.rules.correlations import Counted
from vaultwatch.rules.facts import Level, RuleFacts, Service
from vaultwatch.sentences import (
    caller_with_id,
    counted_sentence,
    error_words,
    is_denial,
    message_sentence,
    sentence,
)

_COMMANDS = (
    "agent|audit|auth|debug|delete|events|kv|lease|list|login|monitor|namespace|operator|patch|path-help|pki|plugin|policy|"
    "print|proxy|read|scan|secrets|server|ssh|status|token|transform|transit|unwrap|version|version-history|write"
)
_COMMAND = on_first_use(rf"(?<![\w/.-])vault(?= (?:{_COMMANDS})(?![\w-]))")
"""The program in a runbook's commands, which are the same in both products."""

REFUSED = (
    "The request was denied or failed: ask who made it, and why. Steps that undo it apply only if it took effect all "
    "the same."
)
"""The first action of an alert on a request that was denied or failed: its runbook is about one that succeeded."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and one event, or a correlation and what it counted.

    A client of Vault may control all texts but `rule`, `title`, `level` and `actions`. No text has a secret in clear
    (`vaultwatch.redaction`).

    Attributes:
        title: What happened. Like `level` and `summary`, the alert's sentence, it fits the outcome.
        time: RFC 3339, as logged.
        principal: The `entity_id`, else `display_name`, else `remote_address`, else the node.
        who: The caller's name, with the entity's id if there are both; "" for a server-log message.
        error: The error's own words, on one line.
        actions: What the reader can do next, including shell commands.
        group_values: The values of the rule's `group_by` fields.
        window_seconds: The rule's own suppression window.
        same_as: Names of rules that match on the same fact.
        record: The parsed entry, at most 32 KiB of JSON; for a correlation, what it counted, and a part of the first.
    """

    id: str
    rule: str
    title: str
    level: Level
    service: Service
    time: str
    event_key: str
    outcome: Outcome
    summary: str
    principal: str
    who: str = ""
    path: str
    namespace: str
    remote_address: str
    error: str = ""
    cluster: str
    node: str
    lane: str
    staged: bool = False
    late: bool = False
    actions: tuple[str, ...] = ()
    group_values: tuple[str, ...] = ()
    window_seconds: int | None = None
    same_as: tuple[str, ...] = ()
    record: dict[str, Any]


def alert_id(rule: str, event_key: str) -> str:
    """Return the first 32 hex digits of SHA-256 over rule name, NUL, event key: the same however the event arrives."""
    return hashlib.sha256(f"{rule}\0{event_key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def alert_of(verdict: Verdict, on_error: Callable[[str, Exception], None] = lambda _name, _error: None) -> Alert:
    """Return the alert of a verdict. If its record cannot be described, the alert says only that.

    Args:
        verdict: The match of a rule.
        on_error: Called with the rule's name and the exception if the record cannot be described.
    """
    try:
        if verdict.counted:
            return _of_counted(verdict, verdict.counted)
        return _of_audit(verdict) if verdict.rule.service == "audit" else _of_server(verdict)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  no record may prevent its alert: the alert says what failed
        on_error(verdict.rule.name, error)
        return _bare(verdict, type(error).__name__)


def without_texts(alert: Alert, error: str) -> Alert:
    """Return the alert without anything that a log can control, because our own code raised an error on its texts.

    Args:
        alert: The alert.
        error: The name of the exception.
    """
    note = f"the texts of this alert are left out: they raised {error}"
    return Alert(
        id=alert.id,
        rule=alert.rule,
        title=alert.title,
        level=alert.level,
        service=alert.service,
        time="",
        event_key=alert.id,
        outcome=alert.outcome,
        summary=f"a record matched {alert.rule}; {note}",
        principal="",
        path="",
        namespace="",
        remote_address="",
        cluster="",
        node="",
        lane="",
        staged=alert.staged,
        late=alert.late,
        window_seconds=alert.window_seconds,
        record={"vaultwatch": note},
    )


def runbook_lines(text: str, program: str = "") -> tuple[str, ...]:
    """Return the lines of a rule's runbook, with which the actions of its alerts begin; before them may be `REFUSED`.

    Args:
        text: The runbook, in which commands begin with `vault`.
        program: The program of the product that wrote the entry; "" if that is not known.
    """
    text = _COMMAND().sub(program, text) if program else text
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def title_and_level(rule: RuleFacts, outcome: Outcome, error: str) -> tuple[str, Level]:
    """Return the title and the level of an alert for the outcome of its request.

    Only a denial can raise the level: a policy that is not written because of a typo is no attempt to gain rights.

    Args:
        rule: The rule that matches.
        outcome: How the request ended.
        error: The error's own words.
    """
    if outcome == "unknown":
        return rule.unanswered_title or rule.title, rule.level
    if outcome == "succeeded":
        return rule.title, rule.level
    level = rule.denied_level or rule.level
    if level.rank > rule.level.rank and not is_denial(error):
        level = rule.level
    return rule.denied_title or f"{rule.title} (denied)", level


def level_of(verdict: Verdict) -> Level:
    """Return the level that the alert of one record has."""
    error = error_words(verdict.record) if verdict.rule.denied_level else ""
    return title_and_level(verdict.rule, verdict.outcome, error)[1]


def callers_of(verdict: Verdict) -> tuple[str, str, str]:
    """Return the principal, the name and the address that the alert of one record has."""
    if verdict.rule.service == "server":
        return brief(verdict.origin.node), "", ""
    address = brief(_object(verdict.record.get("request")).get("remote_address"))
    return _principal(verdict), caller_with_id(verdict.record), address


def _of_audit(verdict: Verdict) -> Alert:
    rule, fields = verdict.rule, verdict.record
    last = verdict.response or fields
    request = _object(fields.get("request"))
    error = error_words(last)
    title, level = title_and_level(rule, verdict.outcome, error)
    commands = dict.fromkeys([*revocations(fields), *revocations(last)])
    return _alert(
        verdict,
        title=title,
        level=level,
        summary=sentence(fields, verdict.outcome, error) + _undecided(verdict),
        principal=_principal(verdict),
        who=caller_with_id(fields),
        path=distinct(request.get("path")),
        namespace=distinct(_object(request.get("namespace")).get("path")),
        remote_address=brief(request.get("remote_address")),
        error=error,
        actions=(*_steps(rule, verdict.outcome, program_of(fields)), *commands),
        record=bounded(redacted(last)),
    )


def _of_server(verdict: Verdict) -> Alert:
    rule, record = verdict.rule, verdict.record
    fields = _object(record["fields"])
    said = message_sentence(verdict.origin.node, record["module"], record["message"], fields)
    return _alert(
        verdict,
        title=rule.title,
        level=rule.level,
        summary=said + _undecided(verdict),
        principal=brief(verdict.origin.node),
        path=distinct(fields.get("path") or fields.get("request_path")),
        namespace=distinct(fields.get("namespace")),
        remote_address="",
        error=brief(fields.get("error")),
        actions=runbook_lines(rule.runbook, _program(verdict)),
        record=bounded(redacted(record)),
    )


def _of_counted(verdict: Verdict, counted: Counted) -> Alert:
    """Return the alert of a correlation, whose group is who or what it is about."""
    rule, first = verdict.rule, verdict.record
    request, by = _object(first.get("request")), counted.by
    by_caller = any(field.startswith("auth.") for field in by)
    return _alert(
        verdict,
        title=rule.title,
        level=rule.level,
        summary=counted_sentence(first, counted),
        principal=_principal(verdict) if by_caller else next(filter(None, by.values()), brief(verdict.origin.node)),
        who=caller_with_id(first) if by_caller else "",
        path=by.get("request.path", ""),
        namespace=distinct(_object(request.get("namespace")).get("path")),
        remote_address=brief(request.get("remote_address")),
        error=error_words(first) if rule.service == "audit" else "",
        actions=(*runbook_lines(rule.runbook, _program(verdict)), *(revocations(first) if by_caller else ())),
        record=bounded(redacted({"counted": msgspec.to_builtins(counted), "first_record": first})),
    )


def _program(verdict: Verdict) -> str:
    if verdict.rule.service == "audit":
        return program_of(verdict.record)
    return program_of_message(_text(verdict.record.get("program")), _text(verdict.record.get("message")))


def _steps(rule: RuleFacts, outcome: Outcome, program: str = "") -> tuple[str, ...]:
    """Return the lines of the runbook for the outcome of a request."""
    lines = runbook_lines(rule.runbook, program)
    is_about_refusals = rule.denied_title == rule.title
    return (REFUSED, *lines) if lines and outcome == "failed" and not is_about_refusals else lines


def _bare(verdict: Verdict, error: str) -> Alert:
    outcome: Outcome = "unknown" if verdict.counted else verdict.outcome
    title, level = title_and_level(verdict.rule, outcome, "")
    return _alert(
        verdict,
        title=title,
        level=level,
        summary=f"a record matched {verdict.rule.name}, but describing it failed ({error})",
        principal=brief(verdict.origin.node),
        path="",
        namespace="",
        remote_address="",
        actions=_steps(verdict.rule, outcome),
        record={"vaultwatch": f"describing this record failed: {error}"},
    )


def _alert(verdict: Verdict, **texts: Any) -> Alert:
    """Return an alert with the fields that are the same for both logs."""
    rule, origin = verdict.rule, verdict.origin
    return Alert(
        id=alert_id(rule.name, verdict.event_key),
        rule=rule.name,
        service=rule.service,
        time=verdict.time,
        event_key=distinct(verdict.event_key),
        outcome=verdict.outcome,
        cluster=brief(origin.cluster),
        node=brief(origin.node),
        lane=origin.lane,
        staged=rule.staged,
        group_values=verdict.group_values,
        window_seconds=rule.window_seconds,
        same_as=rule.same_as,
        **texts,
    )


def _undecided(verdict: Verdict) -> str:
    """Return which rules could not be decided, if the alert's rule groups by them; their names are no text of a log."""
    names = dict(zip(verdict.rule.group_by, verdict.group_values, strict=False)).get("undecided")
    return f"; rules that could not be decided: {names}" if names else ""


def _principal(verdict: Verdict) -> str:
    auth, request = _object(verdict.record.get("auth")), _object(verdict.record.get("request"))
    address = brief(request.get("remote_address"))
    known = (auth.get("entity_id"), auth.get("display_name"), address, verdict.origin.node)
    return distinct(next((text for text in known if text), ""))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
