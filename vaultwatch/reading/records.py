"""The types of records, the tag in front of a line, and the reader of audit entries.

A record is one audit entry or one server-log message; a line that cannot be parsed becomes `Rejected`, which keeps all
of it. Any line may begin with the tag `@<cluster>/<node>/<lane> ` that syslog-ng's templates write. The reader of
server-log messages is `vaultwatch.reading.server_log`.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

from vaultwatch.reading.budget import Budget
from vaultwatch.reading.decoding import decode_object, in_budget_of
from vaultwatch.reading.left_out import NOTHING, LeftOut

_OBJECT = re.compile(rb'\{[ \t\r\n]*"')


class Origin(msgspec.Struct, frozen=True):
    """Where a line came from, according to its tag. Without a tag, all three are empty."""

    cluster: str = ""
    node: str = ""
    lane: str = ""

    def node_or(self, host: str) -> str:
        """Return the node that the tag names, otherwise the host in the line's syslog header."""
        return self.node or host


NO_ORIGIN = Origin()


class AuditEntry(msgspec.Struct, frozen=True):
    """One audit entry.

    Attributes:
        fields: The JSON object as Vault logged it, with its null and "" values.
        origin: Where the line came from.
        partial: The limit of its budget that the line exceeds: then `fields` are only a part of it.
        left_out: What `fields` lack for that.
    """

    fields: dict[str, Any]
    origin: Origin = NO_ORIGIN
    partial: Budget = ""
    left_out: LeftOut = NOTHING


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
    partial: Budget = ""

    @property
    def node(self) -> str:
        """The node that wrote it: from its tag, otherwise the host in its syslog header."""
        return self.origin.node_or(self.host)


class SkippedMessage(msgspec.Struct, frozen=True):
    """A server-log message of one line that no rule could match, and that was not taken apart.

    Its times and its node identify messages without a time after it (`vaultwatch.reading.identity.ServerEventKeys`).
    The attributes are those of `ServerMessage`.
    """

    time: str
    raw: bytes
    origin: Origin = NO_ORIGIN
    header_time: str = ""
    host: str = ""

    @property
    def node(self) -> str:
        """The node that wrote it: from its tag, otherwise the host in its syslog header."""
        return self.origin.node_or(self.host)


class Rejected(msgspec.Struct, frozen=True):
    """A complete line that cannot be parsed, with the reason."""

    raw: bytes
    reason: str
    origin: Origin = NO_ORIGIN


ServerRecord: TypeAlias = ServerMessage | SkippedMessage | Rejected


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
    first = _OBJECT.search(text)
    start = first.start() if first else text.find(b"{")
    if start < 0:
        return Rejected(line, "no JSON object in the line", origin)
    found = decode_object(text[start:] if start else text)
    if isinstance(found, str):
        return Rejected(line, found, origin)
    if fault := _why_not_an_entry(found.fields):
        return Rejected(line, fault, origin)
    if start and not found.partial:
        found = in_budget_of(text, found)
    return AuditEntry(found.fields, origin, *found[1:])


def _why_not_an_entry(found: dict[str, Any]) -> str:
    if not isinstance(found.get("request"), dict):
        return "JSON, but no audit entry: it has no request object"
    kind = found.get("type")
    if not isinstance(kind, str) or not kind.endswith(("request", "response")):
        return "JSON, but no audit entry: its type is neither request nor response"
    return ""
