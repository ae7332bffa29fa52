"""Sigma rules of a few lines, compiled and evaluated on entries."""

from __future__ import annotations

import json
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import msgspec

from vaultwatch.reading.records import AuditEntry
from vaultwatch.reading.view import audit_view
from vaultwatch.rules.compiling import compile_directories
from vaultwatch.rules.conditions import Condition
from vaultwatch.rules.predicates import predicate

HEAD = "title: Title\nname: {name}\nlogsource: {{product: vault, service: {service}}}\nlevel: low\n"


def sigma(detection: str, name: str = "rule", service: str = "audit", more: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(detection).strip(), "  ")
    return HEAD.format(name=name, service=service) + more + f"detection:\n{body}\n"


def compiled(*files: str, placeholders: dict[str, list[Any]] | None = None, service: str = "audit") -> Condition:
    """Return the condition of the first of these files; a text that is not a complete rule is its detection."""
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(files):
            whole = text if "logsource" in text else sigma(text, service=service)
            Path(folder, "rule.yml" if number == 0 else f"more{number}.yml").write_text(whole)
        if placeholders is not None:
            Path(folder, "placeholders.yml").write_text(json.dumps(placeholders))
        return compile_directories([Path(folder)])[0].condition


def entry(**members: Any) -> dict[str, Any]:
    request = members.pop("request", {})
    whole = {"type": "request", "time": "2026-11-21T07:29:41.5Z", "request": {"id": "r1", "path": "a", **request}}
    return {**whole, **members}


def holds(condition: Condition, fields: dict[str, Any]) -> bool:
    """Return whether a condition holds for an entry, after encoding it as JSON, as in a pack."""
    travelled = msgspec.json.decode(msgspec.json.encode(condition), type=Condition)
    return predicate(travelled)(audit_view(AuditEntry(fields)))


def matches(detection: str, fields: dict[str, Any], **placeholders: list[Any]) -> bool:
    return holds(compiled(detection, placeholders=placeholders), fields)
