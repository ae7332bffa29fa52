"""Find the records that shippers and container runtimes wrap in JSON objects of their own.

A record is a text or an object under one of the names in `_CARRIERS`, which may be nested and in lists, and under any
other name if it shows what it is. Several are read, without those that repeat others. An object that is a record itself
is never searched. What has more values than a record may have is searched element by element, each decoded alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading import lenient
from vaultwatch.reading.budget import MAX_DEPTH, MAX_LENIENT_BYTES, exceeded, is_deep
from vaultwatch.reading.elements import elements_of
from vaultwatch.reading.repeats import Known, shows_record

_CARRIERS = (
    "log", "message", "MESSAGE", "line", "msg", "event", "original", "_raw", "raw",  # docker, Beats, journald, Splunk
    "result", "results", "logEvents", "events", "records", "Records", "logs", "entries",  # CloudWatch, Event Hubs
    "content", "attributes", "jsonPayload", "textPayload", "protoPayload",  # Datadog, Stackdriver
    "data", "body", "stringValue", "streams", "values", "value",  # Loki, OpenTelemetry
    "resourceLogs", "scopeLogs", "logRecords", "hits", "_source", "full_message", "short_message",  # GELF
    "properties", "LogEntry", "logEntry", "Message", "fields", "payload", "@message", "text", "hashicorp_vault",
    "LogMessage", "S",  # Azure Monitor, DynamoDB
)  # fmt: skip
_MAX_LEVELS = 64
"""What is below is read as a line of its own if it shows a record."""
_MAX_LARGE_LEVELS = 16
"""How deep the list may be for which an envelope is large; each level of that is copied."""
_MAX_BYTES = 64 * 1024 * 1024
_NUMBERS = re.compile(rb"\[[\d,\s]*\]")
_TIME_AND_LEVEL = re.compile(
    rb"\s{0,32}\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[^\s\[]{0,20} \[ {0,2}[A-Z?]{3,7} {0,2}\]"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{16,}={0,2}\s{0,2}")
_FRAME = frozenset({"Data", "File", "Offset"})
_ALSO_IN_FRAME = "FileEvent"


class Frame(NamedTuple):
    """A part of a file, which can begin and end anywhere, as the log API of Nomad sends it."""

    file: bytes
    content: bytes


class Wrapped(NamedTuple):
    """The texts in an envelope, and whether one of them is a record for certain."""

    texts: list[bytes]
    certain: bool


_NOTHING = Wrapped([], certain=False)
_TOO_DEEP = Wrapped([b'{"type":"[left out: nested too deeply]"}'], certain=True)
"""What cannot be searched is rejected."""


def is_record(found: Any) -> bool:
    """Return whether a decoded JSON object is an audit entry or a server-log message."""
    if "@level" in found:  # of hclog: the message may be a text of a client, which can look like a record
        return isinstance(found.get("@message", ""), str)
    if "@message" in found:
        return isinstance(found["@message"], str) and not _looks_wrapped(found["@message"])
    kind = found.get("type")
    return isinstance(found.get("request"), dict) and isinstance(kind, str) and kind.endswith(("request", "response"))


def texts_in(envelope: bytes) -> list[bytes] | Frame:
    """Return the texts in an object that is no record, in their order; none if it is no envelope.

    Args:
        envelope: One JSON object.
    """
    if _is_large(envelope):
        return _texts_in_large(envelope)
    found = _decoded(envelope)
    if found is None or (isinstance(found, dict) and is_record(found)):
        return []
    return _frame(found) or _search(found, 0).texts


def texts_in_array(array: bytes) -> list[bytes]:
    """Return the texts in an array of other values than records, in their order; none if it is no array.

    Fluentd forwards [tag, [[time, record], ...]]. What is beside records is left out, as it is in objects.

    Args:
        array: The whole array, in JSON.
    """
    try:
        wrapped = _in_raw_list(array, 0) if array.startswith(b"[") else _NOTHING
    except (ValueError, RecursionError):
        return []
    return wrapped.texts if wrapped.certain else []


def _is_large(text: bytes) -> bool:
    """Return whether decoding a text could take many times its size."""
    return exceeded(text, _MAX_BYTES) == "values"


def _texts_in_large(envelope: bytes) -> list[bytes]:
    try:
        return [] if _is_large_record(envelope) else _search_raw(envelope, 0).texts
    except (ValueError, RecursionError):
        return []


class _Shape(msgspec.Struct):
    request: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    level: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@level")
    message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@message")


_shape_of = msgspec.json.Decoder(_Shape).decode


def _is_large_record(text: bytes) -> bool:
    """Return whether an object is a record, as `is_record` does.

    Raises:
        ValueError: It is no strict JSON.
        RecursionError: It is nested too deeply.
    """
    shape = _shape_of(text)
    named = {"type": shape.type, "@level": shape.level, "@message": shape.message}
    found = {name: _text_of(raw) for name, raw in named.items() if bytes(raw)}
    return is_record({**found, "request": {} if bytes(shape.request).startswith(b"{") else None})


def _text_of(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw) if bytes(raw).startswith(b'"') else None


def _search_raw(text: bytes, level: int) -> Wrapped:
    """Search JSON, decoding only what is not large.

    Raises:
        ValueError: A part of it is no strict JSON, or is no envelope.
        RecursionError: It is nested too deeply.
    """
    if not _is_large(text) or text.startswith(b'"'):
        return _search(_decoded(text), level)
    if level > _MAX_LARGE_LEVELS:
        return _TOO_DEEP
    if text.startswith(b"["):
        return _in_raw_list(text, level, is_row=False)
    if level and _is_large_record(text):
        return Wrapped([text], certain=True)
    return _in_members({name: bytes(raw) for name, raw in elements_of(memoryview(text))}, level, _search_raw)


def _in_raw_list(text: bytes, level: int, *, is_row: bool = True) -> Wrapped:
    """Search a list as `_in_list` does, decoding only what is not large."""
    if not _is_large(text):
        found = _decoded(text)
        return _in_list(found, level, is_row=is_row) if isinstance(found, list) else _NOTHING
    if level > _MAX_LARGE_LEVELS:
        return _TOO_DEEP
    if _NUMBERS.fullmatch(text):
        return _in_list(msgspec.json.decode(text, type=list[int]), level)
    return _together(_of_elements(text, level), is_row=is_row)


def _of_elements(text: bytes, level: int) -> Iterator[tuple[Wrapped, bool]]:
    for _, raw in elements_of(memoryview(text)):
        is_list = raw[0] == ord("[")
        yield (_in_raw_list if is_list else _search_raw)(bytes(raw), level + 1), is_list


def _frame(found: Any) -> Frame | None:
    if not isinstance(found, dict) or found.keys() - {_ALSO_IN_FRAME} != _FRAME or not isinstance(found["Data"], str):
        return None
    content = _unpacked(found["Data"])
    return None if content is None else Frame(str(found["File"]).encode("utf-8", "replace"), content)


def _unpacked(text: str) -> bytes | None:
    """Return what a text is in base64; None if it is not."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return None


def _looks_wrapped(message: str) -> bool:
    """Return whether the message of CloudWatch Insights, which is called @message too, holds a record."""
    return message.startswith('{"') or _TIME_AND_LEVEL.match(message[:64].encode("utf-8", "replace")) is not None


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decoded_leniently(text)


def _decoded_leniently(text: bytes) -> Any:
    try:
        return lenient.decode(text) if len(text) <= MAX_LENIENT_BYTES else None
    except (ValueError, RecursionError):
        return None


def _search(value: Any, level: int) -> Wrapped:
    if level > _MAX_LEVELS:
        if is_deep(value, MAX_DEPTH):
            return _TOO_DEEP
        text = value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value)
        return Wrapped([text], certain=True) if shows_record(text) else _NOTHING
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")
        unpacked = None if shows_record(text) else _unpacked(value)
        return _in_text(unpacked if unpacked and shows_record(unpacked) else text, level)
    if isinstance(value, dict):
        return _in_object(value, level)
    return _in_list(value, level) if isinstance(value, list) else _NOTHING


def _in_object(value: dict[str, Any], level: int) -> Wrapped:
    if level and is_record(value):
        return Wrapped([msgspec.json.encode(value)], certain=True)
    if str(value.get("field", "@message")).startswith("@") and value.get("field", "@message") != "@message":
        return _NOTHING  # another column of CloudWatch Insights
    return _in_members(value, level, _search)


def _in_members(members: Mapping[str, Any], level: int, search: Callable[[Any, int], Wrapped]) -> Wrapped:
    best, known, certain = _NOTHING, Known(), list[bytes]()
    others = (name for name in members if name not in _CARRIERS)
    for name in (*(name for name in _CARRIERS if name in members), *others):
        found = search(members[name], level + 1)
        if found.certain:
            certain += known.without_repeats(found.texts)
        elif not best.texts and name in _CARRIERS:
            best = found
    return Wrapped(certain, certain=True) if certain else best


def _in_list(items: list[Any], level: int, *, is_row: bool = False) -> Wrapped:
    if items and all(isinstance(item, int) and 8 < item < 256 for item in items):  # journald: bytes that are no text
        return _in_text(bytes(items), level)
    found = (
        (_in_list(item, level + 1, is_row=True), True)
        if isinstance(item, list) and level < _MAX_LEVELS
        else (_search(item, level + 1), isinstance(item, list))
        for item in items
    )
    return _together(found, is_row=is_row)


def _in_text(text: bytes, level: int) -> Wrapped:
    if not text.strip() or text.isdigit():  # Loki: the time beside a line
        return _NOTHING
    if text.lstrip().startswith(b"{"):
        if _is_large(text):
            return _in_large_text(text, level)
        inner = _decoded(text)
        if isinstance(inner, dict):
            found = Wrapped([text], certain=True) if is_record(inner) else _search(inner, level + 1)
            return found if found.texts else Wrapped([text], certain=False)
    return Wrapped([text], certain=shows_record(text))


def _in_large_text(text: bytes, level: int) -> Wrapped:
    try:
        is_one = _is_large_record(text)
        found = Wrapped([text], certain=True) if is_one else _search_raw(text.strip(), level + 1)
    except (ValueError, RecursionError):
        return Wrapped([text], certain=shows_record(text))
    return found if found.texts else Wrapped([text], certain=False)


def _together(found: Iterable[tuple[Wrapped, bool]], *, is_row: bool) -> Wrapped:
    """Return what was found in the elements of a list, each with whether it is a list itself."""
    kept = [one for one in found if one[0].texts]
    if not kept:
        return _NOTHING
    certain = any(part.certain for part, _ in kept)
    if is_row and sum(part.certain for part, _ in kept) == 1:  # several are a column
        kept = [(part, is_list) for part, is_list in kept if part.certain or is_list]
    return Wrapped([text for part, _ in kept for text in part.texts], certain)
