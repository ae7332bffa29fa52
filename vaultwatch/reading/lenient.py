"""Decode JSON with what strict JSON refuses and a log may hold: invalid UTF-8, control characters, lone surrogates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from vaultwatch.patterns import on_first_use

if TYPE_CHECKING:
    from json import JSONDecoder

_ESCAPED_BACKSLASH = b"\0\0"
"""In the place of an escaped backslash, so that every other one begins an escape; `_SPACES` leaves no NUL."""
_BACKSLASHES = bytes(code or ord("\\") for code in range(256))
_SPACES = bytes(max(code, 0x20) for code in range(256))
_HIGH, _LOW = rb"[dD][89abAB][0-9a-fA-F]{2}", rb"[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = on_first_use(rb"\\u(?:%s(?!\\u%s)|(?<!\\u%s\\u)%s)" % (_HIGH, _LOW, _HIGH, _LOW))
_PAIR = on_first_use(rb"\\u%s\\u%s" % (_HIGH, _LOW))
_ESCAPE_BYTES = 6
_BLOCK_BYTES = 64 * 1024
_NEVER_REFUSED_DIGITS = 640
"""`sys.int_info.str_digits_check_threshold`, which 3.11.0rc1, the Python 3.11 of Ubuntu 22.04, does not have."""


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


def decode_pairs(text: bytes, object_of: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """Decode JSON leniently, with each object made from its members, in their order.

    Args:
        text: The JSON.
        object_of: Makes an object of the names and values of its members, of which a name may be there twice.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    return _encodable(_make_decoder(object_of).decode(text.decode("utf-8", "replace")))


def is_cut_off(text: bytes) -> bool:
    """Return whether text that is no JSON lacks only its end.

    Args:
        text: The text.
    """
    try:
        msgspec.json.decode(bytes(mended(text)).decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        return "truncated" in str(error)
    return False


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
    bare = plain.replace(b"\\\\", _ESCAPED_BACKSLASH) if b"\\u" in plain else b""
    if not _LONE_SURROGATE().search(bare):
        return plain
    del plain
    kept = bytearray()
    for block in _blocks(bare):
        kept += _LONE_SURROGATE().sub(rb"\\ufffd", block).translate(_BACKSLASHES)
    return kept


def _blocks(bare: bytes) -> Iterator[bytes]:
    """Divide a text, splitting no surrogate pair: replacing in all of it would take seven times its size."""
    start = 0
    while start < len(bare):
        end = start + _BLOCK_BYTES
        last = bare.rfind(b"\\", end - _ESCAPE_BYTES, end)
        if last >= 0:
            end = last - _ESCAPE_BYTES if _PAIR().match(bare, last - _ESCAPE_BYTES) else last
        yield bare[start:end]
        start = end


@cache
def _decoder() -> JSONDecoder:
    return _make_decoder(None)


def _make_decoder(object_of: Callable[[list[tuple[str, Any]]], Any] | None) -> JSONDecoder:
    from json import JSONDecoder  # imported here: it takes 3 ms, and nearly no log needs it

    return JSONDecoder(strict=False, parse_int=integer, object_pairs_hook=object_of)


def integer(digits: str) -> int | float:
    """Return an integer, or a float if it has very many digits: Python refuses thousands of them, Go does not."""
    return int(digits) if len(digits) <= _NEVER_REFUSED_DIGITS else float(digits)


def _encodable(value: Any) -> Any:
    """Return the value without the lone surrogates that JSON encoders refuse."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
