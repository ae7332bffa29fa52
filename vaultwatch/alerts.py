"""What people are told: one alert per rule and event."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.bounds import brief
from vaultwatch.reading.identity import Outcome
from vaultwatch.redaction import SALTED
from vaultwatch.rules.facts import Level, RuleFacts, Service


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, one event. All texts but `rule`, `title`, `level` and `actions` may be what a client of Vault chose.

    `time` is RFC 3339 as logged; `principal` the `entity_id`, else `display_name`, else `remote_address`, else the
    node; `actions` what the reader can do next, shell commands among them; `record` the parsed entry, at most 32 KiB
    of JSON; `group_values` the values of the rule's `group_by` fields, `window_seconds` and `same_as` the rule's own.
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
    path: str
    namespace: str
    remote_address: str
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
    """First 32 hex digits of SHA-256 over rule name, NUL, event key: the same however the event arrives."""
    return hashlib.sha256(f"{rule}\0{event_key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def alert_of(verdict: Verdict) -> Alert:
    """The alert that a verdict raises."""
    return _of_audit(verdict) if verdict.rule.service == "audit" else _of_server(verdict)


def _of_audit(verdict: Verdict) -> Alert:
    rule, origin, fields = verdict.rule, verdict.origin, verdict.record
    auth, request = _object(fields.get("auth")), _object(fields.get("request"))
    address = brief(request.get("remote_address"))
    namespace = brief(_object(request.get("namespace")).get("path"))
    known = (auth.get("entity_id"), auth.get("display_name"), address, origin.node)
    revocations = _revocations(fields, namespace) + _revocations(verdict.response or {}, namespace)
    return Alert(
        id=alert_id(rule.name, verdict.event_key),
        rule=rule.name,
        title=rule.title,
        level=rule.level,
        service="audit",
        time=verdict.time,
        event_key=brief(verdict.event_key),
        outcome=verdict.outcome,
        summary=_audit_summary(rule, fields, verdict.outcome),
        principal=brief(next((text for text in known if text), "")),
        path=brief(request.get("path")),
        namespace=namespace,
        remote_address=address,
        cluster=origin.cluster,
        node=origin.node,
        lane=origin.lane,
        staged=rule.staged,
        actions=(*_lines(rule.runbook), *dict.fromkeys(revocations)),
        group_values=verdict.group_values,
        window_seconds=rule.window_seconds,
        same_as=rule.same_as,
        record=fields if verdict.response is None else verdict.response,
    )


def _of_server(verdict: Verdict) -> Alert:
    rule, origin, record = verdict.rule, verdict.origin, verdict.record
    fields = _object(record["fields"])
    where = f"{record['module']}: " if record["module"] else ""
    pairs = " ".join(f"{key}={text}" for key, value in fields.items() if (text := brief(value, 200)))
    return Alert(
        id=alert_id(rule.name, verdict.event_key),
        rule=rule.name,
        title=rule.title,
        level=rule.level,
        service="server",
        time=verdict.time,
        event_key=verdict.event_key,
        outcome=verdict.outcome,
        summary=brief(f"{rule.title}: {where}{record['message']} {pairs}".rstrip()),
        principal=brief(origin.node),
        path=brief(fields.get("path")),
        namespace=brief(fields.get("namespace")),
        remote_address="",
        cluster=origin.cluster,
        node=brief(origin.node),
        lane=origin.lane,
        staged=rule.staged,
        actions=_lines(rule.runbook),
        group_values=verdict.group_values,
        window_seconds=rule.window_seconds,
        same_as=rule.same_as,
        record=record,
    )


_OUTCOME_WORDS = {"succeeded": "it succeeded", "failed": "it was refused or failed", "unknown": "no answer was seen"}


def _audit_summary(rule: RuleFacts, fields: dict[str, Any], found: Outcome) -> str:
    auth, request = _object(fields.get("auth")), _object(fields.get("request"))
    who = brief(auth.get("display_name") or auth.get("entity_id"), 200) or "somebody without a token"
    address = brief(request.get("remote_address"), 64)
    namespace = brief(_object(request.get("namespace")).get("path"), 200)
    where = (f" from {address}" if address else "") + (f" in namespace {namespace}" if namespace else "")
    what = f"{brief(request.get('operation'), 32)} {brief(request.get('path'), 400)}"
    return f"{rule.title}: {who}{where} asked for {what}: {_OUTCOME_WORDS[found]}"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


_SAFE_IN_A_SHELL = re.compile(r"\w[\w.+/=-]{0,199}", re.ASCII)  # no dash first: `-self` is an option


def _revocations(fields: dict[str, Any], namespace: str) -> list[str]:
    """Commands that revoke the tokens concerned, where the device logs accessors in clear (`hmac_accessor=false`)."""
    used = _object(fields.get("auth")).get("accessor")
    made = _object(_object(fields.get("response")).get("auth")).get("accessor")
    flag = f"-namespace={namespace} " if _SAFE_IN_A_SHELL.fullmatch(namespace) else ""
    return [
        f"vault token revoke {flag}-accessor {accessor}"
        for accessor in dict.fromkeys(found for found in (made, used) if isinstance(found, str))
        if not accessor.startswith(SALTED) and _SAFE_IN_A_SHELL.fullmatch(accessor)
    ]
