"""The budget of one line: how much of it is decoded in full.

A decoded value takes many times the bytes that it is written in (an empty list, 64 bytes for 3), and any client of
Vault can send one request of 32 MiB. A line over the budget is decoded in part (`vaultwatch.reading.in_part`) and the
record says so: the field `partial` names the limit that was exceeded, and a rule raises an alert on it.
"""

from __future__ import annotations

import re
from typing import Any, Literal

Budget = Literal["", "bytes", "values", "depth"]
"""The limit that a record exceeds: "" if it exceeds none."""

MAX_BYTES = 2 * 1024 * 1024
"""An entry is larger if a device logs raw values or long lists (`elide_list_responses=false`)."""
MAX_WIDE_BYTES = 512 * 1024
"""The same for an entry with a character outside the BMP: in memory, all others of its text take four bytes as well."""
MAX_LENIENT_BYTES = 64 * 1024
"""The same for an entry that strict JSON refuses: decoding it leniently takes up to 20 times its bytes."""
MAX_MESSAGE_BYTES = 128 * 1024
"""The most that is decoded of a server-log message, which is copied several times, with four bytes a character."""
MAX_DEPTH = 100
"""Levels of objects and lists. Vault writes less than ten, and passes on those of a request."""
MAX_VALUES = 10_000
BYTES_PER_VALUE = 32
"""A line may have more than `MAX_VALUES` if they are this long: hashed values have 76 bytes, so long lists pass."""
SMALL_BYTES = 2 * MAX_VALUES
"""No shorter line can exceed the budget, except in depth."""
_WIDE_BYTES = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
_SURROGATE = re.compile(rb"\\u[dD][89abAB]")


def exceeded(line: bytes, max_bytes: int = MAX_BYTES) -> Budget:
    """Return which limit a line exceeds, apart from its depth, without decoding it.

    Args:
        line: The line. Commas and opening brackets in its texts count as values too.
        max_bytes: The limit of bytes.
    """
    if len(line) <= SMALL_BYTES:
        return ""
    values = line.count(b",") + line.count(b"[") + line.count(b"{")
    if values > max(MAX_VALUES, len(line) // BYTES_PER_VALUE):
        return "values"
    return "bytes" if len(line) > max_bytes or (len(line) > MAX_WIDE_BYTES and _is_wide(line)) else ""


def _is_wide(line: bytes) -> bool:
    """Return whether a text in a line may have characters outside the BMP."""
    return any(lead in line for lead in _WIDE_BYTES) or _SURROGATE.search(line) is not None


def is_deep(value: Any, limit: int) -> bool:
    """Return whether a JSON value has more levels of objects and lists than `limit`, with its own.

    Args:
        value: What a JSON decoder returned.
        limit: Levels.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        below = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in below for item in items if isinstance(item, dict | list)]
    return bool(level)
