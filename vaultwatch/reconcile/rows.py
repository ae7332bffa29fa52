"""What is compared of an audit entry: a row of 46 bytes, in which nothing is left of the entry's texts."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from struct import Struct
from typing import Any, NamedTuple

from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.identity import audit_event_key, encoded_in_order, is_response, parse_time
from vaultwatch.reading.joined import read_entries
from vaultwatch.reading.left_out import NOTE
from vaultwatch.reading.plain import may_hold_records
from vaultwatch.reading.records import AuditEntry, Rejected, split_tag
from vaultwatch.unwrapping.standing_alone import stands_alone

_SALTED = re.compile(rb'"hmac-sha256:[0-9a-f]{64}"')
_MASKED = b'"hmac-sha256:"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME = -(1 << 60)
"""The moment of an entry without a readable time."""

_ROW = Struct("<16s8sqIQ??")

ROW_BYTES = _ROW.size


class Row(NamedTuple):
    """What is compared of an entry.

    Attributes:
        event: The digest of its event key.
        content: The digest of everything that two devices log alike.
        moment: Its time, in microseconds since 1970; or `NO_TIME`.
        log: The index of its log.
        line: The number of its line there, from 1.
        is_response: Whether it is a response.
        stands_alone: Whether Vault writes no other entry for this request.
    """

    event: bytes
    content: bytes
    moment: int
    log: int
    line: int
    is_response: bool
    stands_alone: bool


def pack(row: Row) -> bytes:
    """Return a row as bytes."""
    return _ROW.pack(*row)


def unpack(data: bytes) -> list[Row]:
    """Return the rows in some bytes."""
    return [Row._make(fields) for fields in _ROW.iter_unpack(data)]


class Reader:
    """Reads entries and makes rows of them.

    Its digests have a key of their own, so that nobody can write entries with the same digest.
    """

    def __init__(self, ignored: Sequence[str] = ()) -> None:
        """Make a reader.

        Args:
            ignored: The fields that are not compared, such as `auth.accessor`.
        """
        self._ignored = [tuple(name.split(".")) for name in ignored]
        self._key = secrets.token_bytes(16)

    def read(self, line: bytes) -> list[AuditEntry | Rejected]:
        """Read a line as an audit entry whose salted hashes are all alike; it is several if a newline is missing."""
        entries = read_entries(_SALTED.sub(_MASKED, line))
        return entries if isinstance(entries[0], AuditEntry) else _in_another_form(line) or entries

    def row(self, entry: AuditEntry, log: int, line: int) -> Row:
        """Return the row of an entry.

        Args:
            entry: The entry, as `read` returns it.
            log: The index of its log.
            line: The number of its line.
        """
        fields, request = entry.fields, entry.fields["request"]
        moment, answers = parse_time(fields.get("time")), is_response(fields)
        return Row(
            self.event(fields),
            self._digest(self.compared(entry), 8),
            NO_TIME if moment is None else microseconds(moment),
            log,
            line,
            answers,
            stands_alone(request.get("path"), request.get("operation"), fields.get("error"), is_response=answers),
        )

    def event(self, fields: dict[str, Any]) -> bytes:
        """Return the digest of an entry's event key."""
        return self._digest(audit_event_key(fields).encode("utf-8", "surrogatepass"), 16)

    def compared(self, entry: AuditEntry) -> bytes:
        """Return what two devices log alike of an entry, as JSON with sorted names.

        What says that an entry is partial has the SHA-256 of its line, which no other device logs.
        """
        device = ("time", NOTE) if entry.partial else ("time",)
        found = {name: value for name, value in entry.fields.items() if name not in device}
        for path in self._ignored:
            found = _without(found, path)
        return encoded_in_order(found)

    def _digest(self, data: bytes, size: int) -> bytes:
        return hashlib.blake2b(data, digest_size=size, key=self._key).digest()


def _in_another_form(line: bytes) -> list[AuditEntry | Rejected]:
    """Read the entries that a line holds in another form, such as an envelope; none if it holds none."""
    text = split_tag(line)[1]
    if exceeded(text) or not may_hold_records(text):
        return []
    from vaultwatch.unwrapping.unwrapper import Unwrapper

    unwrapper = Unwrapper()
    pieces = [piece.line for piece in unwrapper.read(text, 1) + unwrapper.flush()]
    found = [
        entry
        for piece in pieces
        for entry in ([piece] if isinstance(piece, Rejected) else read_entries(_SALTED.sub(_MASKED, piece)))
    ]
    return found if any(isinstance(entry, AuditEntry) for entry in found) else []


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970."""
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _without(fields: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    name, *below = path
    if not below:
        return {key: value for key, value in fields.items() if key != name}
    inner = fields.get(name)
    return {**fields, name: _without(inner, tuple(below))} if isinstance(inner, dict) else fields
