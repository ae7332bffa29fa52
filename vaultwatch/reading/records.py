"""The types of records, the tag in front of a line, and the reader of audit entries.

A record is one audit entry or one server-log message; a line that cannot be parsed becomes `Rejected`, which keeps all
of it. Any line may begin with the tag `@<cluster>/<node>/<lane> ` that syslog-ng's templates write. The reader of
server-log messages is `vaultwatch.reading.server_log`.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import msgspec

MAX_PREFIX_TRIES = 8
# Any client can send JSON nested up to Go's limit of 10,000: such an entry is read without its deepest values.
MAX_DEPTH = 100
_MOST_PRUNED_BYTES = 32 * 1024 * 1024  # Vault's default limit of a request
_TOO_DEEP = b'"[left out: nested too deeply]"'
_STRUCTURE = re.compile(rb'"[^"]*"|[{}\[\]]')


class Origin(msgspec.Struct, frozen=True):
    """Where a line came from, according to its tag. Without a tag, all three are empty."""

    cluster: str = ""
    node: str = ""
    lane: str = ""


NO_ORIGIN = Origin()


class AuditEntry(msgspec.Struct, frozen=True):
    """One audit entry: the JSON object as Vault logged it, with its null and "" values."""

    fields: dict[str, Any]
    origin: Origin = NO_ORIGIN


class ServerMessage(msgspec.Struct, frozen=True):
    """One server-log message, of one line or many.

    Attributes:
        time: As the message has it; "" if it has none.
        level: One of trace, debug, info, warn, error, or "" (banners).
        module: The module that hclog logs; "" for the root logger.
        message: The message that hclog logs.
        fields: Its key=value pairs: texts in the standard layout, JSON values in the JSON layout.
        raw: All its lines.
        origin: Where it came from.
        header_time: The time in its syslog header; "" if it has none.
        host: The host in its syslog header; "" if it has none.
    """

    time: str
    level: str
    module: str
    message: str
    fields: dict[str, Any]
    raw: bytes
    origin: Origin = NO_ORIGIN
    header_time: str = ""
    host: str = ""

    @property
    def node(self) -> str:
        """The node that wrote it: from its tag, otherwise the host in its syslog header."""
        return self.origin.node or self.host


class Rejected(msgspec.Struct, frozen=True):
    """A complete line that cannot be parsed, with the reason."""

    raw: bytes
    reason: str
    origin: Origin = NO_ORIGIN


def rejected_by_error(error: Exception, raw: bytes, origin: Origin) -> Rejected:
    """Return a record as rejected because reading or evaluating it raised an unexpected exception."""
    return Rejected(raw, f"raised {type(error).__name__}", origin)


_TAG = re.compile(rb"@([\w.-]{1,255})/([\w.:-]{1,255})/(socket|file|server) ")
LONGEST_TAG = 520
"""Bytes of the longest tag, with the space after it."""
_origins: dict[bytes, Origin] = {}
_MAX_ORIGINS = 4096


def split_tag(line: bytes) -> tuple[Origin, bytes]:
    """Split a line into the origin that its tag names and the rest; without a tag, into `NO_ORIGIN` and the line."""
    if not line.startswith(b"@"):
        return NO_ORIGIN, line
    end = line.find(b" ", 0, LONGEST_TAG) + 1
    tag = line[:end]
    origin = _origins.get(tag) or _read_tag(tag)
    return (origin, line[end:]) if origin else (NO_ORIGIN, line)


def _read_tag(tag: bytes) -> Origin | None:
    found = _TAG.fullmatch(tag)
    if found is None:
        return None
    if len(_origins) >= _MAX_ORIGINS:
        _origins.clear()
    origin = _origins[tag] = Origin(*(part.decode("ascii", "replace") for part in found.groups()))
    return origin


def read_audit_entry(line: bytes, origin: Origin = NO_ORIGIN) -> AuditEntry | Rejected:
    """Read one audit entry. Text before its first `{`, such as a syslog header or the device's `prefix`, is skipped.

    Args:
        line: The line, without its tag and its newline.
        origin: Where the line came from.
    """
    text = line.strip(b" \t\r\n\0")
    if text.startswith(b"<json:"):
        return Rejected(line, "XML: an audit device with format=jsonx", origin)
    start, reason = text.find(b"{"), "no JSON object in the line"
    for _ in range(MAX_PREFIX_TRIES):
        if start < 0:
            break
        found = _decode_object(text[start:] if start else text)
        if isinstance(found, dict):
            fault = _why_not_an_entry(found)
            return Rejected(line, fault, origin) if fault else AuditEntry(found, origin)
        if not reason.startswith("broken JSON"):
            reason = found
        start = text.find(b"{", start + 1)
        if b'"' in text[: max(start, 0)]:
            break
    return Rejected(line, reason, origin)


def _why_not_an_entry(found: dict[str, Any]) -> str:
    if not isinstance(found.get("request"), dict):
        return "JSON, but no audit entry: it has no request object"
    kind = found.get("type")
    if not isinstance(kind, str) or not kind.endswith(("request", "response")):
        return "JSON, but no audit entry: its type is neither request nor response"
    return ""


def _decode_object(text: bytes) -> dict[str, Any] | str:
    try:
        found = msgspec.json.decode(text)
    except RecursionError:
        return _decode_pruned(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_leniently(text)
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _is_deep(found):
        return _decode_pruned(text)
    return found if isinstance(found, dict) else "JSON, but not an object"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in below for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _decode_pruned(text: bytes) -> dict[str, Any] | str:
    """Decode the object without what is nested deeper than `MAX_DEPTH`."""
    reason = "broken JSON: nested too deeply"
    if len(text) > _MOST_PRUNED_BYTES:
        return reason
    kept, start, depth = [], 0, 0
    bare = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")  # no escape hides a quote, and positions stay
    for found in _STRUCTURE.finditer(bare):
        mark = found.group()
        if mark in (b"{", b"["):
            depth += 1
            if depth == MAX_DEPTH:
                kept += [text[start : found.start()], _TOO_DEEP]
        elif mark in (b"}", b"]"):
            if depth == MAX_DEPTH:
                start = found.end()
            depth -= 1
    return _decode_object(b"".join([*kept, text[start:]])) if depth == 0 else reason


def _decode_leniently(text: bytes) -> dict[str, Any] | str:
    """Decode JSON with what a log may contain and JSON forbids: invalid UTF-8, control characters, lone surrogates."""
    import json  # takes 3 ms to import, and logs nearly never need it

    try:
        found = json.loads(text.decode("utf-8", "replace"), strict=False, parse_int=_integer)
    except RecursionError:
        return _decode_pruned(text)
    except json.JSONDecodeError as error:
        what = error.msg.rstrip(": ").removesuffix(" at")
        return f"broken JSON: {what} at byte {_byte_of_error(text)} of {len(text)}"
    if _is_deep(found):
        return _decode_pruned(text)
    return _encodable(found) if isinstance(found, dict) else "JSON, but not an object"


def _byte_of_error(text: bytes) -> int:
    """Return the byte at which JSON breaks.

    The text is decoded once more: only with `surrogateescape` does it encode to its own bytes again.
    """
    import json

    exact = text.decode("utf-8", "surrogateescape")
    try:
        json.loads(exact, strict=False, parse_int=_integer)
    except json.JSONDecodeError as error:
        return len(exact[: error.pos].encode("utf-8", "surrogateescape"))
    return len(text)


def _integer(digits: str) -> int | float:
    """Parse an integer; a huge one becomes a float, because Python refuses integers of thousands of digits."""
    return int(digits) if len(digits) <= sys.int_info.str_digits_check_threshold else float(digits)


def _encodable(value: Any) -> Any:
    """Return the value without lone surrogates, which JSON encoders refuse."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
