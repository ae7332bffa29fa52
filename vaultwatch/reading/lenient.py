"""Decode JSON with what strict JSON refuses and a log may hold: invalid UTF-8, control characters, lone surrogates."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from json import JSONDecoder

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
        return _encodable(_decoder().decode(bytes(text).decode("utf-8", "replace")))


def byte_of_error(text: bytes, error: ValueError) -> int:
    """Return the byte at which JSON breaks, each byte that is not UTF-8 counted as one.

    Args:
        text: The JSON.
        error: From `decode`.
    """
    at = getattr(error, "pos", len(text))
    if text.isascii():
        return int(at)
    exact = text.decode("utf-8", "surrogateescape")
    try:
        _decoder().decode(exact)
    except ValueError as exact_error:
        return len(exact[: getattr(exact_error, "pos", len(exact))].encode("utf-8", "surrogateescape"))
    return len(text)


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


@cache
def _decoder() -> JSONDecoder:
    from json import JSONDecoder  # imported here: it takes 3 ms, and nearly no log needs it

    return JSONDecoder(strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
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
