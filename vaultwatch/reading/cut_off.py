"""Find the complete values at the beginning of an audit entry whose end is missing.

syslog-ng divides a line that is longer than its `log-msg-size`, and a client can make Vault write one: in the name of a
member, Go escapes `<` with six bytes, so a request of 32 MiB becomes an entry of 192 MiB (measured on OpenBao 2.6).
What identifies the act is at its beginning, and must not be lost with its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from vaultwatch.reading import lenient
from vaultwatch.reading.left_out import LeftOut, Path

BEGINNING_BYTES = 256 * 1024
"""More than Vault writes in front of the data of a request; if a client makes the path longer, rules are undecided."""
_MAX_LEVELS = 6
_TOKEN = re.compile(rb'"[^"]*(?:"|\Z)|[{}\[\],]')
_CLOSING = {b"{": b"}", b"[": b"]"}


class Beginning(NamedTuple):
    """The beginning of an object, closed so that it can be decoded, and where it was cut.

    `open_path` leads from the top to the innermost value that was not complete.
    """

    text: bytes
    open_path: Path


def beginning_of(text: bytes | bytearray) -> Beginning | None:
    """Return the complete values at the beginning of an object; None if the object is complete.

    Args:
        text: JSON that begins with an object.
    """
    head = bytes(text[:BEGINNING_BYTES])
    bare = head.replace(b"\\\\", b"__").replace(b'\\"', b"__")  # no escape hides a quote, and positions are the same
    closing, names = bytearray(), list[bytes]()
    name, end = b"", 0
    for found in _TOKEN.finditer(bare):
        token = found[0]
        if token.startswith(b'"'):
            name = head[found.start() : found.end()]
            continue
        end = found.start() if token == b"," else found.end()
        if token in _CLOSING:
            if len(closing) < _MAX_LEVELS:
                names[len(closing) :] = [name]
            closing += _CLOSING[token]
            name = b""
        elif token != b",":
            del closing[-1:]
            if not closing:
                return None
    return Beginning(head[:end] + bytes(reversed(closing)), _path(names[1 : len(closing)]))


def left_out_of(fields: dict[str, Any], open_path: Path, left_out: LeftOut) -> LeftOut:
    """Return what the beginning of an entry lacks: of each object that was not complete, every member that follows.

    Args:
        fields: What was decoded of the beginning.
        open_path: Where it was cut.
        left_out: What was left out of it besides.
    """
    beginnings, decoded = dict(left_out.beginnings), {**left_out.decoded, (): frozenset(fields)}
    value: Any = fields
    for depth, name in enumerate(open_path, 1):
        value = value.get(name)
        if not isinstance(value, dict):
            beginnings[open_path[:depth]] = ""
            break
        decoded[open_path[:depth]] = frozenset(value)
    return LeftOut(beginnings, decoded, is_cut_off=True)


def _path(names: Sequence[bytes]) -> Path:
    """Decode names, up to the first value that has none: one in a list, or in what is no JSON."""
    return tuple(str(lenient.decode(name)) for name in takewhile(len, names))
