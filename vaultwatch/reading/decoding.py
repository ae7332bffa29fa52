"""Decode the JSON object of one line, whatever a client of Vault or a damaged log has put into it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading import lenient
from vaultwatch.reading.budget import MAX_DEPTH, MAX_LENIENT_BYTES, Budget, exceeded, is_deep
from vaultwatch.reading.cut_off import beginning_of, left_out_of
from vaultwatch.reading.depths import without_depths
from vaultwatch.reading.in_part import decode_in_part, note_of
from vaultwatch.reading.left_out import NOTHING, LeftOut

_NO_OBJECT = "JSON, but not an object"
_NESTED = "broken JSON: nested too deeply"
_SKIPPED_DEPTH = 12_000
"""Levels of a value that is skipped: Go reads and writes 10,000, and each takes 52 bytes of the stack (8 MiB)."""


class Decoded(NamedTuple):
    """A JSON object, the limit of its budget that it exceeded, and what was left out for that."""

    fields: dict[str, Any]
    partial: Budget = ""
    left_out: LeftOut = NOTHING


def decode_object(text: bytes) -> Decoded | str:
    """Decode one JSON object; return why that is impossible if it is.

    An object over its budget, or nested too deeply, is decoded in part: Go reads JSON nested 10,000 deep, and a client
    must not be able to hide a call in that way.

    Args:
        text: The object, without anything before or after it.
    """
    budget = exceeded(text)
    if budget:
        return _decode_over_budget(text, budget)
    try:
        found = _decode(text)
        deep = text.count(b"{") + text.count(b"[") > MAX_DEPTH and is_deep(found, MAX_DEPTH)
    except RecursionError:
        found, deep = None, True
    except _TooLongError:
        return _decode_over_budget(text, "bytes")
    except ValueError as error:
        return _reason(text, error)
    if deep:
        del found  # at no time are there two decoded objects
        return _decode_over_budget(text, "depth")
    return Decoded(found) if isinstance(found, dict) else _NO_OBJECT


class _TooLongError(Exception):
    """JSON is no strict JSON, and too long to be decoded leniently."""


def _decode(text: bytes) -> Any:
    if len(text) <= MAX_LENIENT_BYTES:
        return lenient.decode(text)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _TooLongError from None


def in_budget_of(line: bytes, found: Decoded) -> Decoded:
    """Return an object that was decoded in full, marked as partial if its line exceeds the budget nevertheless.

    Args:
        line: The line, with whatever is in front of the object.
        found: The object.
    """
    budget = exceeded(line)
    return Decoded({**found.fields, **note_of(line, budget)}, budget) if budget else found


def _decode_over_budget(text: bytes, budget: Budget) -> Decoded | str:
    try:
        fields, left_out = _decode_strictly_or_mended(text)
    except (_UnbalancedError, msgspec.DecodeError, UnicodeDecodeError) as error:
        found = _decode_beginning(text)
        if found is None:
            return (
                _NESTED
                if isinstance(error, _UnbalancedError)
                else f"broken JSON, or no object, over the budget of {budget}"
            )
        fields, left_out = found
    return Decoded({**fields, **note_of(text, budget)}, budget, left_out)


def _decode_beginning(text: bytes) -> tuple[dict[str, Any], LeftOut] | None:
    """Decode the beginning of an object whose end is missing; None if it is something else."""
    beginning = beginning_of(text)
    if beginning is None:
        return None
    try:
        fields, left_out = _decode_strictly_or_mended(beginning.text)
    except (_UnbalancedError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return fields, left_out_of(fields, beginning.open_path, left_out)


class _UnbalancedError(Exception):
    """JSON has brackets that are not closed."""


def _decode_strictly_or_mended(text: bytes) -> tuple[dict[str, Any], LeftOut]:
    try:
        return _decode_shallow(text)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a lone surrogate is called truncated, like a missing end
        mended = lenient.mended(text)
        if mended == text:
            raise
    return _decode_shallow(mended)


def _decode_shallow(text: bytes | bytearray) -> tuple[dict[str, Any], LeftOut]:
    try:
        with _deep_recursion():
            return decode_in_part(text)
    except RecursionError:
        shallow = without_depths(text)
    if shallow is None:
        raise _UnbalancedError
    return decode_in_part(shallow)


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Let extension modules recurse as deeply as entries of Vault can be; CPython 3.12 and later have limits for it."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(usual + _SKIPPED_DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _reason(text: bytes, error: ValueError) -> str:
    if text == b"{":
        return "broken JSON: nothing is behind {"
    if lenient.is_cut_off(text):
        return f"broken JSON: cut off at byte {len(text)} of {len(text)}"
    what = str(getattr(error, "msg", "not JSON")).rstrip(": ").removesuffix(" at")
    return f"broken JSON: {what} at byte {lenient.byte_of_error(text, error)} of {len(text)}"
