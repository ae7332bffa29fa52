"""What people are told: one alert per rule and event."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from vaultwatch.reading.identity import Outcome, outcome
from vaultwatch.reading.records import AuditEntry, ServerMessage
from vaultwatch.reading.view import View
from vaultwatch.redaction import SALTED
from vaultwatch.rules.facts import Level, RuleFacts, Service

MAX_RECORD_BYTES = 32 * 1024
MAX_TEXT_CHARACTERS = 1024
_MAX_DESCENT = 6


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


def from_audit(rule: RuleFacts, entry: AuditEntry, view: View, event_key: str) -> Alert:
    """The alert that a rule raises on an audit entry."""
    auth, request = _object(entry.fields.get("auth")), entry.fields["request"]
    address = brief(request.get("remote_address"))
    namespace = brief(_object(request.get("namespace")).get("path"))
    known = (auth.get("entity_id"), auth.get("display_name"), address, entry.origin.node)
    return Alert(
        id=alert_id(rule.name, event_key),
        rule=rule.name,
        title=rule.title,
        level=rule.level,
        service="audit",
        time=brief(entry.fields.get("time")),
        event_key=brief(event_key),
        outcome=view["outcome"],
        summary=_audit_summary(rule, entry.fields, view["outcome"]),
        principal=brief(next((text for text in known if text), "")),
        path=brief(request.get("path")),
        namespace=namespace,
        remote_address=address,
        cluster=entry.origin.cluster,
        node=entry.origin.node,
        lane=entry.origin.lane,
        staged=rule.staged,
        actions=(*_lines(rule.runbook), *_revocations(entry.fields, namespace)),
        record=bounded(entry.fields),
    )


def complete(alert: Alert, response: AuditEntry) -> Alert:
    """An alert raised by a request, with what its response tells."""
    fields = response.fields
    found = outcome(fields)
    head = alert.summary.rpartition(": ")[0]
    revocations = [action for action in _revocations(fields, alert.namespace) if action not in alert.actions]
    return msgspec.structs.replace(
        alert,
        outcome=found,
        summary=f"{head}: {_OUTCOME_WORDS[found]}",
        actions=(*alert.actions, *revocations),
        record=bounded(fields),
    )


def from_server(rule: RuleFacts, message: ServerMessage, view: View, event_key: str, time: str) -> Alert:
    """The alert that a rule raises on a server-log message; `time` is its own, or the last one known before it."""
    node = view["node"]
    where = f"{message.module}: " if message.module else ""
    pairs = " ".join(f"{key}={text}" for key, value in message.fields.items() if (text := brief(value, 200)))
    record = {"level": message.level, "module": message.module, "message": message.message, "fields": message.fields}
    return Alert(
        id=alert_id(rule.name, event_key),
        rule=rule.name,
        title=rule.title,
        level=rule.level,
        service="server",
        time=brief(time),
        event_key=event_key,
        outcome="unknown",
        summary=brief(f"{rule.title}: {where}{message.message} {pairs}".rstrip()),
        principal=brief(node),
        path=brief(message.fields.get("path")),
        namespace=brief(message.fields.get("namespace")),
        remote_address="",
        cluster=message.origin.cluster,
        node=brief(node),
        lane=message.origin.lane,
        staged=rule.staged,
        actions=_lines(rule.runbook),
        record=bounded({"time": message.time, **record, "raw": view["raw"]}),
    )


_OUTCOME_WORDS = {"succeeded": "it succeeded", "failed": "it was refused or failed", "unknown": "no answer was seen"}


def _audit_summary(rule: RuleFacts, fields: dict[str, Any], found: Outcome) -> str:
    auth, request = _object(fields.get("auth")), fields["request"]
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


def brief(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """A text of at most `limit` characters; what is no text reads as its JSON, nothing as ""."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bounded(record: dict[str, Any], limit: int = MAX_RECORD_BYTES) -> dict[str, Any]:
    """The record with its largest values replaced by a marker, until its JSON has at most `limit` bytes."""
    whole = msgspec.json.encode(record)
    if len(whole) <= limit:
        return record
    digest = hashlib.sha256(whole).hexdigest()
    shrunk = _shrink(record, len(whole), limit, digest, _MAX_DESCENT)
    return shrunk if isinstance(shrunk, dict) else {"left_out": shrunk}


def _shrink(value: Any, size: int, limit: int, digest: str, descent: int) -> Any:
    marker = f"[{size} bytes left out; SHA-256 of the whole record: {digest}]"
    if not isinstance(value, dict | list) or descent == 0 or 2 * len(value) > limit:  # an item takes two bytes or more
        return marker
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    sizes = {key: len(msgspec.json.encode(item)) for key, item in items}
    kept = dict(items)
    for key, of_item in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if size <= limit:
            break
        room = max(limit - (size - of_item), 0)
        kept[key] = _shrink(kept[key], of_item, room, digest, descent - 1)
        size += len(msgspec.json.encode(kept[key])) - of_item
    if size > limit:
        return marker
    return kept if isinstance(value, dict) else list(kept.values())
