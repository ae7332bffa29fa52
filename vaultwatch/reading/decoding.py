"""Decode the JSON object of one line, whatever a client of Vault or a damaged log has put into it."""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading.budget import MAX_DEPTH, Budget, exceeded
from vaultwatch.reading.in_part import decode_in_part, note_of

_NO_OBJECT = "JSON, but not an object"
_NESTED = "broken JSON: nested too deeply"
_TOO_DEEP = b'"[left out: nested too deeply]"'
_STRUCTURE = re.compile(rb'"[^"]*"|[{\[]+|[}\]]+')
_OPENING, _CLOSING = b"{[", b"}]"


class Decoded(NamedTuple):
    """A JSON object, and the limit of its budget that it exceeded."""

    fields: dict[str, Any]
    partial: Budget = ""


def decode_object(text: bytes) -> Decoded | str:
    """Decode one JSON object; return why that is impossible if it is.

    An object over its budget is decoded in part; one that is nested too deeply, without its depths: Go reads JSON
    nested 10,000 deep, and a client must not be able to hide a call in that way.

    Args:
        text: The object, without anything before or after it.
    """
    budget = exceeded(text)
    if budget:
        return _decode_over_budget(text, budget)
    try:
        found, is_deep = _decode_in_full(text), False
    except RecursionError:
        found, is_deep = None, True
    except ValueError as error:
        return _reason(text, error)
    if is_deep or (text.count(b"{") + text.count(b"[") > MAX_DEPTH and _is_deep(found)):
        del found  # at no time are there two decoded objects
        return _decode_without_depths(text)
    return Decoded(found) if isinstance(found, dict) else _NO_OBJECT


def without_depths(text: bytes) -> bytearray | None:
    """Return JSON with everything below `MAX_DEPTH` replaced by a marker of the same size; None if it is not balanced.

    Args:
        text: JSON, of any depth.
    """
    kept, start, depth = bytearray(text), 0, 0
    bare = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")  # no escape hides a quote, and positions are the same
    for found in _STRUCTURE.finditer(bare):
        first, count = bare[found.start()], found.end() - found.start()
        if first in _OPENING:
            if depth < MAX_DEPTH <= depth + count:
                start = found.start() + MAX_DEPTH - depth - 1
            depth += count
        elif first in _CLOSING:
            if depth >= MAX_DEPTH > depth - count:
                end = found.start() + depth - MAX_DEPTH + 1
                kept[start:end] = _marker(end - start)
            depth -= count
    return kept if depth == 0 else None


def _marker(size: int) -> bytes:
    return (_TOO_DEEP if size >= len(_TOO_DEEP) else b'""').ljust(size)


def _decode_over_budget(text: bytes, budget: Budget) -> Decoded | str:
    note = note_of(text, budget)
    try:
        try:
            return Decoded({**decode_in_part(text), **note}, budget)
        except RecursionError:
            shallow = without_depths(text)
            return Decoded({**decode_in_part(shallow), **note}, budget) if shallow is not None else _NESTED
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"broken JSON, or no object, over the budget of {budget}"


def _decode_without_depths(text: bytes) -> Decoded | str:
    shallow = without_depths(text)
    if shallow is None:
        return _NESTED
    try:
        found = _decode_in_full(shallow)
    except ValueError as error:
        return _reason(text, error)
    return Decoded({**found, **note_of(text, "depth")}, "depth") if isinstance(found, dict) else _NO_OBJECT


def _decode_in_full(text: bytes | bytearray) -> Any:
    """Decode JSON, with what strict JSON refuses and a log may hold: invalid UTF-8, control characters, surrogates."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        import json  # imported here: it takes 3 ms, and nearly no log needs it

        return _encodable(json.loads(text.decode("utf-8", "replace"), strict=False, parse_int=_integer))


def _reason(text: bytes, error: ValueError) -> str:
    what = str(getattr(error, "msg", "not JSON")).rstrip(": ").removesuffix(" at")
    return f"broken JSON: {what} at byte {_byte_of_error(text)} of {len(text)}"


def _byte_of_error(text: bytes) -> int:
    """Return the byte at which JSON breaks, each byte that is not UTF-8 counted as one."""
    import json

    exact = text.decode("utf-8", "surrogateescape")
    try:
        json.loads(exact, strict=False, parse_int=_integer)
    except json.JSONDecodeError as error:
        return len(exact[: error.pos].encode("utf-8", "surrogateescape"))
    except RecursionError:
        return len(text)
    return len(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in below for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _integer(digits: str) -> int | float:
    """Python refuses integers of thousands of digits, Go does not."""
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
