"""Decode JSON with what strict JSON refuses and a log may hold: invalid UTF-8, control characters, lone surrogates."""

from __future__ import annotations

import re
import sys
from typing import Any

import msgspec

_SPACES = bytes(max(code, 0x20) for code in range(256))
_LONE_SURROGATE = re.compile(
    rb"(?i)\\u(d[89ab][0-9a-f]{2})(?!\\ud[c-f][0-9a-f]{2})|(?<!\\ud[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})"
)


def decode(text: bytes | bytearray | msgspec.Raw) -> Any:
    """Decode JSON, leniently if it is not strict JSON.

    Args:
        text: The JSON.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        import json  # imported here: it takes 3 ms, and nearly no log needs it

        return _encodable(json.loads(bytes(text).decode("utf-8", "replace"), strict=False, parse_int=integer))


def mended(text: bytes) -> bytes | bytearray:
    """Return JSON with its control characters and lone surrogates replaced, each byte where it was.

    Args:
        text: JSON that a strict decoder refuses. A text without either is returned as it is.
    """
    plain = text.translate(_SPACES)
    bare = plain.replace(b"\\\\", b"__") if b"\\u" in plain else b""
    kept: bytearray | None = None
    for found in _LONE_SURROGATE.finditer(bare):
        kept = bytearray(plain) if kept is None else kept
        kept[found.end() - 4 : found.end()] = b"fffd"
    return plain if kept is None else kept


def integer(digits: str) -> int | float:
    """Return an integer: Python refuses those of thousands of digits, Go does not."""
    return int(digits) if len(digits) <= sys.int_info.str_digits_check_threshold else float(digits)


def _encodable(value: Any) -> Any:
    """Return the value without the lone surrogates that JSON encoders refuse."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
