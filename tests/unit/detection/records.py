"""Rules and lines for the tests of detection."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vaultwatch.detection.verdict import Verdict
from vaultwatch.rules.conditions import Condition, Exists, Text
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule, Rule


def rule(condition: Condition, name: str = "seal", service: Service = "audit", **facts: Any) -> Rule:
    return Rule(CompiledRule(name=name, title=name, level=Level.HIGH, service=service, condition=condition, **facts))


SEAL = rule(Text("request.path", "eq", "sys/seal", False))
SERVER = rule(Exists("raw", True), "server", "server")
FAILED = rule(Text("outcome", "eq", "failed", False), "failed")

HEAD = b"2026-11-21T07:29:4%d.933Z [ERROR] core: failed: backend=siem/\n"
VALUE = [b"  error=\n", b'  | {"errors": [1]}\n', b"  | more\n", b"  \n"]
SHUTDOWN = b"==> Vault shutdown triggered\n"


def request(event: str = "e1", path: str = "sys/seal", kind: str = "request", **members: Any) -> bytes:
    entry = {"time": "2026-11-21T07:29:41.1Z", "type": kind, "request": {"id": event, "path": path}, **members}
    return json.dumps(entry).encode() + b"\n"


def response(event: str = "e1", path: str = "sys/seal", **members: Any) -> bytes:
    return request(event, path, "response", **members)


def found(verdicts: Iterable[Verdict]) -> list[tuple[str, str, str]]:
    """Return rule, event key and outcome of each verdict."""
    return [(verdict.rule.name, verdict.event_key, verdict.outcome) for verdict in verdicts]
