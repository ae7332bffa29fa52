"""See where JSON objects in a line end, whether they are records, and what only separates them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from vaultwatch.reading.budget import BYTES_PER_VALUE, MAX_VALUES
from vaultwatch.reading.elements import end_behind
from vaultwatch.reading.joined_messages import HEAD

AROUND = b' \t\r\n\f\v\0,;[]\x1e\x1f"'
COLOUR = re.compile(rb"\x1b\[[0-9;]{0,32}[mK]")
NEW_RECORD = re.compile(rb'\{"(?:time|type|auth|request|@level|@message|@module|@timestamp)":|' + HEAD)
_SEPARATORS = re.compile(rb"(?:[ \t\r\n\f\v\0,;\[\]\x1e\x1f\"|'`()]|\\[nrt]|#012|<br ?/?>){0,4096}")
_GLUED_OBJECT = re.compile(rb"(?<=[\w.)\]}])\{\"(?:time|type|@level)\": ?\"")
_MOST_OTHER_OBJECTS = 16


class _Shape(msgspec.Struct):
    """What shows that an object is a record."""

    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    level: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="@level")


_shape_of = msgspec.json.Decoder(_Shape).decode


def end_of_object(text: Any) -> int | None:
    """Return where an object at the beginning of a text ends; 0 if the text ends before, None if it is no JSON."""
    try:
        _shape_of(text)
    except RecursionError:
        return len(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (end := end_behind(error)) is not None:
            return end
        return 0 if "truncated" in str(error) else None
    return len(text)


def is_object(text: bytes) -> bool:
    """Return whether a text is one object."""
    return text.startswith(b"{") and end_of_object(text) == len(text)


def is_record(text: bytes) -> bool:
    """Return whether an object is a record, or none that can be decoded."""
    try:
        shape = _shape_of(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True  # for the reader to judge
    return shape.request is not msgspec.UNSET or shape.level is not msgspec.UNSET


def is_message(text: bytes) -> bool:
    """Return whether a record is a message of hclog: in it, `@message` may be a text of a client, not a record."""
    try:
        shape = _shape_of(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return shape.level is not msgspec.UNSET


def are_short(text: memoryview) -> bool:
    """Return whether a text begins with more and shorter objects than records are."""
    at = count = 0
    while at < len(text) and (ended := end_of_object(text[at:])):
        at, count = at + ended, count + 1
        if count > MAX_VALUES:
            return at < count * BYTES_PER_VALUE
        at += separators_behind(text, at)
    return False


def separators_behind(text: bytes | memoryview, start: int) -> int:
    """Return how many bytes after an object only separate it from the next: commas, quotes, terminal colours."""
    rest = bytes(text[start : start + 4096])
    bare = COLOUR.sub(lambda found: b" " * len(found[0]), rest)
    found = _SEPARATORS.match(bare)
    return found.end() if found else 0


class RecordEnds:
    """Finds the records behind a message. After many objects that are none, every one that begins like one counts."""

    def __init__(self) -> None:
        self._others = 0

    def end(self, text: bytes, at: int, /, *, is_value: bool) -> int:
        """Return where a record that begins here ends, or any object if it is a value; 0 if none does."""
        if not is_value and not NEW_RECORD.match(text, at):
            return 0
        if self._others >= _MOST_OTHER_OBJECTS:
            return 0 if is_value else at + 1
        ended = end_of_object(memoryview(text)[at:])
        if is_value:
            self._others += not ended
            return at + ended if ended else 0
        if ended and is_record(text[at : at + ended]):
            return at + ended
        if ended == 0:
            return len(text)
        self._others += 1
        return at + 1 if _GLUED_OBJECT.match(text, at) else 0
