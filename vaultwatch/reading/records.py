"""The types of records, the tag in front of a line, and the reader of audit entries.

A record is one audit entry or one server-log message; a line that cannot be parsed becomes `Rejected`, which keeps all
of it. Any line may begin with the tag `@<cluster>/<node>/<lane> ` that syslog-ng's templates write. The reader of
server-log messages is `vaultwatch.reading.server_log`.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

from vaultwatch.reading.budget import Budget, exceeded
from vaultwatch.reading.decoding import Decoded, decode_object, in_budget_of
from vaultwatch.reading.in_part import note_of
from vaultwatch.reading.left_out import NOTHING, LeftOut
from vaultwatch.reading.repeated import repeated_members

_AROUND = b" \t\r\n\f\v\0\x1e"
NO_OBJECT = "no JSON object in the line"
MISPLACED_MESSAGE = "a message of the server log in an audit log, or behind an unknown text"
_OBJECT = re.compile(rb'\{[ \t\r\n]*"')


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A line of a log: the log's name, and the number of the line, from 1."""

    log: str
    line: int


class Origin(msgspec.Struct, frozen=True):
    """Where a line came from, according to its tag. Without a tag, the first three are empty.

    Attributes:
        position: The line in its log; None for a stream, whose lines have no numbers.
    """

    cluster: str = ""
    node: str = ""
    lane: str = ""
    position: Position | None = None

    def node_or(self, host: str) -> str:
        """Return the node that the tag names, otherwise the host in the line's syslog header."""
        return self.node or host


NO_ORIGIN = Origin()
Place: TypeAlias = tuple[Origin, str, int]
"""Where a record is: its origin without a position, the name of its log, and its line there; "" and 0 if lines have no
numbers. It becomes an origin (`origin_at`) for the few records that are shown."""


def place_of(origin: Origin) -> Place:
    """Return the place of a record by its origin."""
    position = origin.position
    return (origin, position.log, position.line) if position else (origin, "", 0)


def origin_at(place: Place) -> Origin:
    """Return the origin of a record that is in a place."""
    origin, log, line = place
    return Origin(origin.cluster, origin.node, origin.lane, Position(log, line)) if log else origin


class AuditEntry(msgspec.Struct, frozen=True):
    """One audit entry.

    Attributes:
        fields: The JSON object as Vault logged it, with its null and "" values.
        origin: Where the line came from.
        partial: The limit of its budget that the line exceeds: then `fields` are only a part of it.
        left_out: What `fields` lack for that.
        repeated: The names of members that stand twice in an object: `fields` have one of the two.
    """

    fields: dict[str, Any]
    origin: Origin = NO_ORIGIN
    partial: Budget = ""
    left_out: LeftOut = NOTHING
    repeated: tuple[str, ...] = ()


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
        own: Its first line from its own time, or its `{`, on, without colours; b"" if that is not known.
        program: The program in its syslog header; "" if it has none.
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
    own: bytes = b""
    program: str = ""

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
    """A complete line that cannot be parsed, with the reason.

    Attributes:
        raw: The line.
        reason: Why it cannot be parsed.
        origin: Where it came from.
        partial: The limit of its budget that it exceeds.
        whole: What stood in the log, without its tag, if `raw` is only a part of it, such as of an envelope.
    """

    raw: bytes
    reason: str
    origin: Origin = NO_ORIGIN
    partial: Budget = ""
    whole: bytes = b""


ServerRecord: TypeAlias = ServerMessage | SkippedMessage | Rejected


def rejected_by_error(error: Exception, raw: bytes, origin: Origin) -> Rejected:
    """Return a record as rejected because reading or evaluating it raised an unexpected exception."""
    return Rejected(raw, f"raised {type(error).__name__}", origin)


_TAG = re.compile(rb"@([\w.-]{1,255})/([\w.:-]{1,255})/(socket|file|server) ")
UNKNOWN_CLUSTER = "unknown"
"""In the tags of lines from the archive."""
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
    cluster, node, lane = (part.decode("ascii", "replace") for part in found.groups())
    origin = _origins[tag] = Origin(cluster, node, lane)
    return origin


def read_audit_entry(line: bytes, origin: Origin = NO_ORIGIN) -> AuditEntry | Rejected:
    """Read one audit entry. Text before its first `{`, such as a syslog header or the device's `prefix`, is skipped.

    Args:
        line: The line, without its tag and its newline.
        origin: Where the line came from.
    """
    found = _read(line.strip(_AROUND))
    if isinstance(found, str):
        return Rejected(line, found, origin, exceeded(line))
    return AuditEntry(found.fields, origin, *found[1:])


def readings(entry: AuditEntry, line: bytes) -> tuple[AuditEntry, ...]:
    """Return the readings of an entry: two if an object in it has a member twice, else the entry as it is.

    Args:
        entry: The entry, with the last member of each name.
        line: The line that it was read from, which is within its budget.
    """
    found = repeated_members(_object_in(line.strip(_AROUND)), entry.fields)
    if found is None:
        return (entry,)
    last = msgspec.structs.replace(entry, repeated=found.names)
    if _why_not_an_entry(found.first):
        return (last,)
    return msgspec.structs.replace(last, fields=found.first), last


def undecoded_entry(rejected: Rejected) -> AuditEntry:
    """Return a rejected line over its budget as an entry of which nothing is known.

    Args:
        rejected: The line.
    """
    fields = {"type": "request", "request": {}, **note_of(rejected.raw, rejected.partial)}
    return AuditEntry(fields, rejected.origin, rejected.partial, LeftOut(decoded={(): frozenset({"type"})}))


def undecoded_message(rejected: Rejected) -> ServerMessage:
    """Return a rejected line over its budget as a server-log message of which only the bytes are known.

    Args:
        rejected: The line.
    """
    return ServerMessage("", "", "", "", {}, rejected.raw, rejected.origin, partial=rejected.partial)


def _read(text: bytes) -> Decoded | str:
    """Return the entry in a line, or why it has none."""
    if text.startswith(b"<json:"):
        return "XML: an audit device with format=jsonx"
    content = _object_in(text)
    if not content:
        return MISPLACED_MESSAGE if b" [" in text and _holds_message(text) else NO_OBJECT
    found = decode_object(content)
    fault = found if isinstance(found, str) else _why_not_an_entry(found.fields)
    if isinstance(found, str) or fault:
        return fault
    return found if content is text or found.partial else in_budget_of(text, found)


def _holds_message(text: bytes) -> bool:
    from vaultwatch.reading.joined_messages import HEAD  # most logs need none of its patterns

    return re.search(HEAD, text) is not None


def _object_in(text: bytes) -> bytes:
    """Return a line without what is before its JSON object; nothing if it has none."""
    first = _OBJECT.search(text)
    start = first.start() if first else text.find(b"{")
    return text if start == 0 else text[start:] if start > 0 else b""


def _why_not_an_entry(found: dict[str, Any]) -> str:
    if not isinstance(found.get("request"), dict):
        return "JSON, but no audit entry: it has no request object"
    kind = found.get("type")
    if not isinstance(kind, str) or not kind.endswith(("request", "response")):
        return "JSON, but no audit entry: its type is neither request nor response"
    return ""
