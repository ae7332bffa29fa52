"""Find the lines in an array of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.elements import elements_of
from vaultwatch.unwrapping.envelope_parts import CARRIERS, pairs_of

_MAX_LEVELS = 4


def lines_in_text(text: bytes) -> list[bytes]:
    """Return the lines and the objects in an array, or in a text of one; none if it is something else."""
    try:
        return [line for line in _lines_of(text.rstrip(b", \t"), 0) if line.strip()]
    except (ValueError, RecursionError):
        return []


def lines_in_rows(array: bytes) -> list[bytes]:
    """Return the lines in the rows of an array, if each is a list of names and values, as of CloudWatch Logs Insights.

    One of the names is usual for lines; the others begin with `@`, as those of Insights do, and have no line.

    Raises:
        ValueError: It is no JSON.
    """
    if b'alue"' not in array or len(array) > SMALL_BYTES:
        return []
    found: list[bytes] = []
    for row in msgspec.json.decode(array, type=list[Any]):
        pairs = pairs_of(row) if isinstance(row, list) else {}
        texts = [value for name, value in pairs.items() if name in CARRIERS or not name.startswith("@")]
        if pairs.keys().isdisjoint(CARRIERS) or len(texts) != 1 or not isinstance(texts[0], str):
            return []
        found.append(texts[0].encode("utf-8", "replace"))
    return found


def _lines_of(item: bytes, level: int) -> Iterator[bytes]:
    """Yield the lines and the objects in an element of an array."""
    if item.startswith(b"[") and level <= _MAX_LEVELS:
        for _, inner in elements_of(memoryview(item)):
            yield from _lines_of(bytes(inner), level + 1)
    elif item.startswith(b'"'):
        yield from msgspec.json.decode(item, type=str).encode("utf-8", "replace").split(b"\n")
    elif item.startswith(b"{"):
        yield item
