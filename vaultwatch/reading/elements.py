"""Divide JSON into its members or elements without decoding these: envelopes can be much larger than records."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from vaultwatch.reading.budget import BYTES_PER_VALUE, MAX_VALUES

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_name_of = msgspec.json.Decoder(str).decode
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")
_BETWEEN = re.compile(rb"[ \t\r\n,:]*")


def end_behind(error: Exception) -> int | None:
    """Return where a value ends behind which a decoder has found something else; None if the error is another one."""
    found = _TRAILING.search(str(error))
    return int(found[1]) - 1 if found else None  # it counts the byte that it has read


def elements_of(text: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield the members of an object with their names, or the elements of an array with "" in place of a name.

    Args:
        text: The whole object or array, in JSON.

    Raises:
        ValueError: It is no strict JSON, or has more and shorter elements than an envelope has.
    """
    if _end_of_value(text) < len(text):
        raise ValueError("something else behind the value")
    has_names, at, count, name = text[0] == ord("{"), 1, 0, ""
    while (at := _end_of_gap(text, at)) < len(text) - 1:
        count += 1
        if count > MAX_VALUES and at < count * BYTES_PER_VALUE:
            raise ValueError("more elements than in an envelope")
        if has_names:
            end = at + _end_of_value(text[at:])
            name, at = _name_of(text[at:end]), _end_of_gap(text, end)
        end = at + _end_of_value(text[at:])
        yield name, text[at:end]
        at = end


def _end_of_gap(text: memoryview, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _end_of_value(text: memoryview) -> int:
    try:
        _skip(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.DecodeError as error:
        if (end := end_behind(error)) is None:
            raise
        return end
    return len(text)
