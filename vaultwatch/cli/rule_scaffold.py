"""Make a rule and its fixtures from one record of a log."""

from __future__ import annotations

import re
import uuid
from typing import Any, NamedTuple

import msgspec

from vaultwatch.cli.rule_text import as_yaml
from vaultwatch.errors import SettingError
from vaultwatch.reading.view import AUDIT_DERIVED, View
from vaultwatch.redaction import redacted, redacted_text
from vaultwatch.rules.compiling.impossible import why_never
from vaultwatch.rules.conditions import Text
from vaultwatch.rules.facts import Service

_WILDCARDS = re.compile(r"[\\*?]")
_OTHER_MESSAGE = "2026-01-01T00:00:00.000Z [INFO]  core: another message\n"


class Scaffold(NamedTuple):
    """A rule with fixtures.

    Attributes:
        rule: The rule in YAML.
        match: The record as a fixture, without secrets.
        ignore: Records that the rule does not match.
        suffix: Of the fixtures' files, with its dot.
    """

    rule: str
    match: bytes
    ignore: bytes
    suffix: str


def scaffold(name: str, service: Service, view: View) -> Scaffold:
    """Return a rule that matches a record by its path and operation, or by its level, module and message.

    Args:
        name: The rule's name.
        service: The log of the record.
        view: The record's view.

    Raises:
        SettingError: The record is too large, or has nothing to select.
    """
    if view.get("partial"):
        raise SettingError(f"--from: the record exceeds the limit of {view['partial']} that a rule sees whole")
    return _of_entry(name, view) if service == "audit" else _of_message(name, view)


def _of_entry(name: str, view: View) -> Scaffold:
    entry = redacted({field: value for field, value in view.items() if field not in AUDIT_DERIVED})
    request = entry["request"]
    selection = _selection("audit", {f"request.{field}": request.get(field) for field in ("path", "operation")})
    others = [{**request, "path": "another/path"}]
    if "request.operation" in selection:
        others.append({**request, "operation": "update" if request["operation"] == "read" else "read"})
    ignore = b"".join(_line({**entry, "request": other}) for other in others)
    return Scaffold(_rule(name, "audit", selection), _line(entry), ignore, ".jsonl")


def _of_message(name: str, view: View) -> Scaffold:
    selection = _selection("server", {part: redacted_text(view[part]) for part in ("level", "module", "message")})
    match = redacted_text(view["raw"]).rstrip("\n").encode("utf-8", "replace") + b"\n"
    return Scaffold(_rule(name, "server", selection), match, _OTHER_MESSAGE.encode(), ".log")


def _selection(service: Service, facts: dict[str, Any]) -> dict[str, str]:
    """Return those facts that a rule can select.

    Raises:
        SettingError: A rule on the others would match far too much.
    """
    selection = {field: _literal(value) for field, value in facts.items() if _can_match(field, value, service)}
    if not selection.keys() & {"request.path", "message"}:
        raise SettingError("--from: the record has no path or message that a rule could select")
    return selection


def _line(entry: dict[str, Any]) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _rule(name: str, service: Service, selection: dict[str, str]) -> str:
    words = name.removeprefix("audit_").removeprefix("server_").replace("_", " ")
    found = {
        "title": words.capitalize(),
        "id": str(uuid.uuid4()),
        "name": name,
        "status": "test",
        "description": "Say what happened, why it matters, and what to check first.",
        "logsource": {"product": "vault", "service": service},
        "detection": {"selection": selection, "condition": "selection"},
        "falsepositives": ["Say who does this on ordinary days"],
        "level": "medium",
    }
    return as_yaml(found)


def _can_match(field: str, value: Any, service: Service) -> bool:
    return isinstance(value, str) and value != "" and not why_never(Text(field, "eq", value), service)


def _literal(value: str) -> str:
    r"""Return a value in which `*`, `?` and `\` have no special meaning for Sigma."""
    return _WILDCARDS.sub(lambda found: f"\\{found.group()}", value)
