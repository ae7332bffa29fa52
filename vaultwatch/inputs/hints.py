"""What a user can do about a file of which nothing can be read."""

from __future__ import annotations

import shlex
from collections import deque
from typing import Any

import msgspec

from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.records import Rejected

_MAX_VALUES = 1_000
_SIGNS = ('"request"', '"@message"', "[INFO]", "[WARN]", "[ERROR]", "[DEBUG]")


def hint_for(name: str, first: Rejected) -> str:
    """Return the end of a sentence that says what to do, or "".

    Args:
        name: The file.
        first: The first line that was rejected in it.
    """
    if first.reason.startswith("XML"):
        return "; configure the audit device with format=json, which is its default"
    if path := _path_to_record(first.raw):
        return f"; a record is inside {path}: jq -r {shlex.quote(path)} {shlex.quote(name)} | vaultwatch check"
    if b"\0" in first.raw[:SMALL_BYTES]:
        return "; it is not text"
    return "; expected are audit entries (JSON) or messages of the server log, of Vault or OpenBao"


def _path_to_record(raw: bytes) -> str:
    """Return the path, as jq writes it, of a text that looks like a record in a JSON object; "" if there is none."""
    start = raw.find(b"{")
    if start < 0 or len(raw) > SMALL_BYTES:
        return ""
    try:
        level: deque[tuple[str, Any]] = deque([("", msgspec.json.decode(raw[start:]))])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for _ in range(_MAX_VALUES):
        if not level:
            break
        path, value = level.popleft()
        if isinstance(value, str) and path and any(sign in value for sign in _SIGNS):
            return path
        level += _below(path, value)
    return ""


def _below(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            (f"{path}.{key}" if key.isidentifier() else f"{path or '.'}[{msgspec.json.encode(key).decode()}]", item)
            for key, item in value.items()
        ]
    return [(f"{path or '.'}[]", item) for item in value] if isinstance(value, list) else []
