"""Find the lines in an array of JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vaultwatch.reading.elements import elements_of

_MAX_LEVELS = 4


def lines_in_text(text: bytes) -> list[bytes]:
    """Return the lines and the objects in an array, or in a text of one; none if it is something else."""
    try:
        return [line for line in _lines_of(text.rstrip(b", \t"), 0) if line.strip()]
    except (ValueError, RecursionError):
        return []


def _lines_of(item: bytes, level: int) -> Iterator[bytes]:
    """Yield the lines and the objects in an element of an array."""
    if item.startswith(b"[") and level <= _MAX_LEVELS:
        for _, inner in elements_of(memoryview(item)):
            yield from _lines_of(bytes(inner), level + 1)
    elif item.startswith(b'"'):
        yield from msgspec.json.decode(item, type=str).encode("utf-8", "replace").split(b"\n")
    elif item.startswith(b"{"):
        yield item
