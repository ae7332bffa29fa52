"""A stand-in for the original approach (2022): for each line one `json.loads` and seven checks, one after the other.

Written from a description of that program() handler. It reads stdin by `readline`, ignores the KeyError of an entry
that lacks a field, and sends nothing; without importing an HTTP client and without stripping lines it does a little
less than the original. At the end it prints to stderr how many entries met a check.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

SERVER_PATTERNS = [
    re.compile(rf"vault.*{what}")
    for what in (
        *("core: vault is sealed", "core: vault is unsealed", "core: root generation", "core: rekey", "core: seal"),
        *(
            "enabled audit backend",
            "disabled audit backend",
            "enabled credential backend",
            "panic",
            "shutdown triggered",
        ),
    )
]
"""What a second handler of the original searches in each line of the server log, one pattern after the other."""


def check(entry: dict[str, Any]) -> list[str]:
    """Return whether an entry meets one of the seven checks; raises KeyError if it lacks a field that they read."""
    reasons = []
    request = entry["request"]
    policies = entry["auth"]["policies"]
    namespace = request["namespace"].get("path", "")
    path = request["path"]
    if "root" in policies:
        reasons.append("root policy used")
    if namespace in ("break-glass", "emergency-access"):
        reasons.append("break-glass namespace used")
    if path.startswith("sys/generate-root"):
        reasons.append("root token generation")
    if path.startswith("sys/policies") and request["operation"] == "update":
        reasons.append("policy written")
    if path.startswith("secret/data/emergency-only"):
        reasons.append("emergency path used")
    if namespace == "prod/" and "never-use" in policies:
        reasons.append("forbidden policy used")
    if namespace == "prod-us/" and path.startswith("pki/issue/"):
        reasons.append("certificate issued")
    return reasons


def check_message(line: str) -> bool:
    """Return whether a line of the server log meets one of its patterns."""
    return any(pattern.search(line) for pattern in SERVER_PATTERNS)


def main() -> int:
    """Read stdin to its end; return the exit status."""
    alerts = skipped = 0
    while line := sys.stdin.readline():
        try:
            if check(json.loads(line)):
                alerts += 1
        except KeyError:
            skipped += 1
    print(f"{alerts} entries met a check, {skipped} skipped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
