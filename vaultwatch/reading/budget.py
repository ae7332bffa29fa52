"""The budget of one line: how much of it is decoded in full.

A decoded value takes many times the bytes that it is written in (an empty list, 64 bytes for 3), and any client of
Vault can send one request of 32 MiB. A line over the budget is decoded in part (`vaultwatch.reading.in_part`) and the
record says so: the field `partial` names the limit that was exceeded, and a rule raises an alert on it.
"""

from __future__ import annotations

from typing import Any, Literal

Budget = Literal["", "bytes", "values", "depth"]
"""The limit that a record exceeds: "" if it exceeds none."""

MAX_BYTES = 2 * 1024 * 1024
"""An entry is larger if a device logs raw values or long lists (`elide_list_responses=false`)."""
MAX_MESSAGE_BYTES = 1024 * 1024
"""The most that is decoded of a server-log message: four bytes a character, if one is outside the BMP, and copied."""
MAX_DEPTH = 100
"""Levels of objects and lists. Vault writes less than ten, and passes on those of a request."""
MAX_VALUES = 10_000
BYTES_PER_VALUE = 20
"""A line may have more than `MAX_VALUES` if they are this long: hashed values have 76 bytes, so long lists pass."""
SMALL_BYTES = 2 * MAX_VALUES
"""No shorter line can exceed the budget, except in depth."""


def exceeded(line: bytes) -> Budget:
    """Return which limit a line exceeds, apart from its depth, without decoding it.

    Args:
        line: The line. Commas and opening brackets in its texts count as values too.
    """
    if len(line) <= SMALL_BYTES:
        return ""
    values = line.count(b",") + line.count(b"[") + line.count(b"{")
    if values > max(MAX_VALUES, len(line) // BYTES_PER_VALUE):
        return "values"
    return "bytes" if len(line) > MAX_BYTES else ""


def could_be_deep(text: bytes) -> bool:
    """Return whether the data of a request has enough closing brackets for an entry nested deeper than `MAX_DEPTH`.

    Removing a byte takes a quarter of the time of counting it, on CPython 3.11.
    """
    return 2 * len(text) - len(text.replace(b"}", b"")) - len(text.replace(b"]", b"")) > MAX_DEPTH - 2


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
