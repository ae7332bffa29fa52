"""Find the entries that follow one without an end, or without a newline, on the same line.

A program whose disk is full leaves a part of an entry in its file. Once there is room again, the next entry follows
that part without a newline (seen with Vault and with syslog-ng 3.38). It is whole, and must be evaluated.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.budget import MAX_BYTES
from vaultwatch.reading.records import LONGEST_TAG, NO_ORIGIN, AuditEntry, Origin, Rejected, read_audit_entry, split_tag

ENTRY_FOLLOWS = "its end is missing: another entry follows"
_MAX_LEVELS = 10_000
"""Levels of objects that Go reads and writes: more are of no entry."""
_AROUND = b" \t\r\n\0,"
_LONGEST_GAP = 256
"""Bytes between two entries: a separator, or the syslog header of the second."""
_LEVEL = re.compile(rb"\[[A-Z]{4,5} ?\]")
_BACKWARDS = re.compile(rb'"[^"]*(?:"|\Z)|[{}]')


def read_entries(line: bytes) -> list[AuditEntry | Rejected]:
    """Read the entries of a line: one, unless others follow a part of it, or it, without a newline.

    Args:
        line: The line, with or without a tag and a newline.
    """
    origin, text = split_tag(line)
    entry = read_audit_entry(text, origin)
    parts = [] if is_whole(entry) else joined_entries(text)
    return [read_part(part, origin, has_tags=bool(origin.lane)) for part in parts] or [entry]


def read_part(part: bytes, origin: Origin = NO_ORIGIN, *, has_tags: bool) -> AuditEntry | Rejected:
    """Read a part of a line that `joined_entries` has divided.

    Args:
        part: The part, with its tag if it has one.
        origin: Where it came from if it has none.
        has_tags: Whether the line itself has a tag. Otherwise one in front of the part is a text of somebody.
    """
    here, text = split_tag(part)
    entry = read_audit_entry(text, here if here.lane and has_tags else origin)
    return msgspec.structs.replace(entry, reason=ENTRY_FOLLOWS) if isinstance(entry, Rejected) else entry


def is_whole(entry: AuditEntry | Rejected) -> bool:
    """Return whether a line was read to its end."""
    return isinstance(entry, AuditEntry) and not entry.left_out.is_cut_off


def joined_entries(line: bytes) -> list[bytes]:
    """Divide a line in front of each whole entry at its end; return nothing if it does not end with one.

    The line is searched backwards, in linear time, for the bracket that opens the object that ends with it: no text of
    the part in front of it can hide it. A text of the entry cannot look like one, because its quotes are escaped. What
    is between two entries without a quote or bracket, such as a separator or a header, is left out.

    Args:
        line: A line that cannot be parsed, without its newline. An entry that has a tag begins with that.
    """
    end = len(line.rstrip(_AROUND))
    if line[end - 1 : end] != b"}":
        return []
    first = max(end - MAX_BYTES, 0)
    bare = line[first:end].replace(b"\\\\", b"__").replace(b'\\"', b"__")  # no escape hides a quote
    found = list[bytes]()
    depth = closed = 0
    for token in _BACKWARDS.finditer(bare[::-1]):
        at = first + len(bare) - token.end()
        if not depth:
            if token[0] != b"}" or end - at > _LONGEST_GAP or _LEVEL.search(line, at, end):
                break  # a part of an entry, or a message of the server log
            closed = at + 1
        depth += (token[0] == b"}") - (token[0] == b"{")
        if depth > _MAX_LEVELS:
            break
        if not depth:
            if not _is_entry(line[at:closed]):
                break
            end = at - _tag_before(line, at)
            found.append(line[end:closed])
    rest = line[:end]
    if b"{" not in rest and len(rest) <= _LONGEST_GAP:
        return found[::-1] if len(found) > 1 else []
    return [rest, *reversed(found)] if found else []


def _tag_before(line: bytes, at: int) -> int:
    """Return how many bytes the tag takes that ends here; 0 if none does."""
    begin = line.rfind(b"@", max(at - LONGEST_TAG, 0), at)
    origin, rest = split_tag(line[begin:at]) if begin >= 0 else (None, b"")
    return at - begin if origin and origin.lane and not rest else 0


def _is_entry(text: bytes) -> bool:
    return not isinstance(read_audit_entry(text), Rejected)
