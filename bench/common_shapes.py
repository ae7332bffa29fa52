"""Entries as some devices, versions and clusters log them, made from those of the corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

Change = Callable[[dict[str, Any], int], dict[str, Any]]


def _policies(entry: dict[str, Any], number: int) -> dict[str, Any]:
    return {**entry, "auth": {**(entry.get("auth") or {}), "policies": ["default", f"app-{number}", f"team-{number}"]}}


def _namespace(entry: dict[str, Any], number: int) -> dict[str, Any]:
    return {**entry, "request": {**entry["request"], "namespace": {"id": f"n{number}", "path": f"tenant-{number}/"}}}


_CHANGES: dict[str, Change] = {
    "auth that is null": lambda entry, _: {**entry, "auth": None},
    "types of KMIP": lambda entry, _: {**entry, "type": f"kmip-{entry['type']}"},
    "policies of each client": _policies,
    "a namespace of each client": _namespace,
}
_PREFIXES = {"a device's prefix": b"vault-audit: ", "a syslog header": b"<14>Nov 21 07:29:41 vault-1 vault[7]: "}


def common_shapes(lines: Sequence[bytes]) -> dict[str, list[bytes]]:
    """Return the same entries in each shape, by its name; `plain` as they are."""
    shapes = {name: [prefix + line for line in lines] for name, prefix in _PREFIXES.items()}
    for name, change in _CHANGES.items():
        changed = (change(json.loads(line), number) for number, line in enumerate(lines))
        shapes[name] = [json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in changed]
    return {"plain": list(lines), **shapes}
