"""A stand-in of the original approach (2022): one line, one `json.loads`, seven checks, one after another.

Written anew from a description of what that program() handler looked for. It reads stdin by `readline`, swallows the
KeyError of an entry that lacks a field, and sends nothing; with neither an HTTP client to import nor a line to strip it
does a little less than the original. At the end it says on stderr how many entries met a check.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def check(entry: dict[str, Any]) -> list[str]:
    """What the seven checks say of one entry; KeyError where it lacks a field that they read."""
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


def main() -> int:
    """Read stdin to its end."""
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
