"""See what the objects, lists and texts of an envelope are: records, pairs, cells of a row, parts of a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading import lenient
from vaultwatch.reading.budget import MAX_LENIENT_BYTES
from vaultwatch.reading.repeated import with_all_members
from vaultwatch.unwrapping.encoded import unpacked

CARRIERS = dict.fromkeys((
    "log", "message", "MESSAGE", "line", "msg", "event", "original", "_raw", "raw",  # docker, Beats, journald, Splunk
    "result", "results", "logEvents", "events", "records", "Records", "logs", "entries",  # CloudWatch, Event Hubs
    "content", "attributes", "jsonPayload", "textPayload", "protoPayload",  # Datadog, Stackdriver
    "data", "body", "stringValue", "streams", "values", "value",  # Loki, OpenTelemetry
    "resourceLogs", "scopeLogs", "logRecords", "hits", "_source", "full_message", "short_message",  # GELF
    "properties", "LogEntry", "logEntry", "Message", "fields", "payload", "@message", "text", "hashicorp_vault",
    "LogMessage", "Log", "RawData", "detail", "full_log", "@rawstring", "__CONTENT__",  # Azure, EventBridge, Wazuh
))  # fmt: skip
"""Names under which a text is a line, also if it does not show it."""
TYPES = frozenset({"stringValue", "string_value", "S"})
"""What the type of a text is called where a name would be: of OpenTelemetry and DynamoDB."""
_CELLS = {"f": "v", "Data": "VarCharValue"}
"""What the cells of a row are called in BigQuery and Athena, by the name of the row."""
_SCALARS_OF_OTEL = frozenset({"stringValue", "boolValue", "intValue", "doubleValue", "bytesValue"})
_MAX_LEVELS_OF_OTEL = 64
_KEYS = ("field", "key", "name", "Field", "Key", "Name")
_VALUES = ("value", "Value")
_DIGITS = re.compile(r"\d+")
_FRAME = frozenset({"Data", "File", "Offset"})
_ALSO_IN_FRAME = "FileEvent"


class Frame(NamedTuple):
    """A part of a file, which can begin and end anywhere, as the log API of Nomad sends it."""

    file: bytes
    content: bytes


def is_record(found: Any) -> bool:
    """Return whether a decoded JSON object is an audit entry or a server-log message."""
    if "@level" in found:  # of hclog: the message may be a text of a client, which can look like a record
        return isinstance(found.get("@message", ""), str)
    if "@message" in found:
        return "@module" in found and isinstance(found["@message"], str)  # else of CloudWatch Insights
    kind = found.get("type")
    return isinstance(found.get("request"), dict) and isinstance(kind, str) and kind.endswith(("request", "response"))


def are_alike(names: Collection[str]) -> bool:
    """Return whether the names of members differ only in their numbers, so that the object is a list."""
    return len(names) > 1 and len({_DIGITS.sub("", name) for name in names}) == 1


def pairs_of(items: Sequence[Any]) -> dict[str, Any]:
    """Return the members that a list of names and values stands for; none if it is another list."""
    found: dict[str, Any] = {}
    for item in items:
        names = [item[name] for name in _KEYS if name in item] if isinstance(item, dict) else []
        values = [item[name] for name in _VALUES if name in item] if names else []
        if len(names) != 1 or len(values) != 1 or not isinstance(names[0], str) or names[0] in found:
            return {}
        found[names[0]] = values[0]
    return found


def cells_of(name: str, row: Any) -> list[Any]:
    """Return the cells in a row of objects with one member; none if it is something else."""
    cell = _CELLS.get(name)
    is_row = cell and isinstance(row, list) and all(isinstance(one, dict) and one.keys() == {cell} for one in row)
    return [one[cell] for one in row] if is_row else []


def plain_value(value: Any, level: int = 0) -> Any:
    """Return a value that OpenTelemetry writes with its type as it was before; any other, and a deep one, as it is."""
    if not isinstance(value, dict) or len(value) != 1 or level > _MAX_LEVELS_OF_OTEL:
        return value
    ((kind, inner),) = value.items()
    items = inner.get("values", []) if isinstance(inner, dict) else []
    if kind == "kvlistValue" and all(isinstance(one, dict) for one in items):
        return {str(one.get("key")): plain_value(one.get("value"), level + 1) for one in items}
    if kind == "arrayValue":
        return [plain_value(one, level + 1) for one in items]
    if kind == "intValue" and isinstance(inner, str) and inner.isdecimal():
        return int(inner)
    return inner if kind in _SCALARS_OF_OTEL else value


class _Shape(msgspec.Struct):
    request: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    level: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@level")
    message: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@message")


_shape_of = msgspec.json.Decoder(_Shape).decode


def is_large_record(text: bytes) -> bool:
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


def frame_of(found: Any) -> Frame | None:
    """Return the part of a file that an object is; None if it is something else."""
    if not isinstance(found, dict) or found.keys() - {_ALSO_IN_FRAME} != _FRAME or not isinstance(found["Data"], str):
        return None
    content = unpacked(found["Data"])
    return None if content is None else Frame(str(found["File"]).encode("utf-8", "replace"), content)


def decoded_json(text: bytes) -> Any:
    """Return what a text is in JSON, also if that is not strict; None if it is none."""
    try:
        found = msgspec.json.decode(text)
        return found if isinstance(found, dict) and is_record(found) else with_all_members(text, found)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decoded_leniently(text)


def _decoded_leniently(text: bytes) -> Any:
    try:
        return lenient.decode(text) if len(text) <= MAX_LENIENT_BYTES else None
    except (ValueError, RecursionError):
        return None
