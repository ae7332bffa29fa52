"""Decode an audit entry that exceeds its budget: the members that Vault always writes, and others while there is room.

The entry is decoded level by level, so that nothing inside one member keeps out another on the level above it. A member
that is too large is left out, with its size in its place. Values that are left out are skipped, not built: the memory
is bounded, whatever the shape of the entry.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from vaultwatch.reading.budget import Budget

_MAX_VALUE_BYTES = 64 * 1024
_MAX_TEXT_BYTES = 1024 * 1024  # Go accepts at most 1 MiB of headers, with the path among them
_MAX_DECODED_BYTES = 256 * 1024
_MAX_TEXTS_BYTES = 2 * 1024 * 1024
_BEGINNING_BYTES = 4096
_LONGEST_ESCAPE = 12  # a surrogate pair
_MAX_MEMBERS = 10_000
_MEMBER = re.compile(rb'":')
# What Vault and OpenBao write: these objects are decoded however many other members they have.
_MEMBERS = {
    "": "time type error auth request response forwarded_from",
    "auth": "client_token accessor display_name policies token_policies identity_policies external_namespace_policies "
    "no_default_policy entity_id entity_created remaining_uses metadata policy_results token_type token_ttl "
    "token_issue_time",
    "request": "id client_id replication_cluster operation mount_point mount_type mount_accessor mount_class "
    "mount_running_version mount_running_sha256 mount_is_external_plugin client_token client_token_accessor "
    "client_certificate_serial_number namespace path data policy_override remote_address remote_port wrap_ttl headers "
    "request_uri",
    "response": "auth secret data redirect warnings wrap_info headers mount_point mount_type mount_accessor "
    "mount_class mount_running_version mount_running_sha256 mount_is_external_plugin",
}
_RawMembers = Iterator[tuple[str, msgspec.Raw]]
_Level = tuple[dict[str, Any], _RawMembers, bool]


def _struct(names: str) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "members", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names.split()]
    )


_STRUCTS = {path: _struct(names) for path, names in _MEMBERS.items()}


def decode_in_part(text: bytes | bytearray) -> dict[str, Any]:
    """Return a JSON object with its largest members left out.

    Args:
        text: The object.

    Raises:
        msgspec.DecodeError: It is not a JSON object.
        UnicodeDecodeError: One of its members is not UTF-8.
        RecursionError: It is nested too deeply to be skipped.
    """
    fields: dict[str, Any] = {}
    _Parts().fill(fields, text)
    return fields


def note_of(text: bytes, budget: Budget) -> dict[str, str]:
    """Return the member `left_out`, which says that the others are only a part of the object.

    Args:
        text: The object.
        budget: The limit that it exceeds.
    """
    digest = hashlib.sha256(text).hexdigest()
    return {"left_out": f"[parts of {len(text)} bytes, over the budget of {budget}; SHA-256 of the whole: {digest}]"}


class _Parts:
    """Decodes members as long as there is room."""

    def __init__(self) -> None:
        self._bytes = _MAX_DECODED_BYTES
        self._text_bytes = _MAX_TEXTS_BYTES

    def fill(self, fields: dict[str, Any], text: bytes | bytearray) -> None:
        levels: deque[_Level] = deque([(fields, _known(text, ""), True)])
        while levels:
            target, members, is_entry = levels.popleft()
            for name, raw in members:
                below = self._below(raw, name if is_entry else None)
                if below is None:
                    target[name] = self._value(raw)
                else:
                    inner: dict[str, Any] = {}
                    target[name] = inner
                    levels.append((inner, below, False))

    def _below(self, raw: msgspec.Raw, name: str | None) -> _RawMembers | None:
        """Return the members of an object that is decoded member by member; None for any other value."""
        if not _is_object(raw):
            return None
        if name in _STRUCTS:
            return _known(raw, name)
        if len(raw) <= _MAX_VALUE_BYTES or _has_too_many_members(raw):
            return None
        return iter(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items())

    def _value(self, raw: msgspec.Raw) -> Any:
        size = len(raw)
        if size <= min(_MAX_VALUE_BYTES, self._bytes):
            self._bytes -= size
            return msgspec.json.decode(raw)
        if _first(raw) != b'"':
            return f"[{size} bytes left out]"
        if size <= min(_MAX_TEXT_BYTES, self._text_bytes):
            self._text_bytes -= size
            return msgspec.json.decode(raw)
        return f"{_beginning(raw)}… [{size} bytes, cut]"


def _known(raw: msgspec.Raw | bytes | bytearray, name: str) -> _RawMembers:
    found = msgspec.json.decode(raw, type=_STRUCTS[name])
    members = ((field, getattr(found, field)) for field in found.__struct_fields__)
    return ((field, value) for field, value in members if value is not msgspec.UNSET)


def _is_object(raw: msgspec.Raw) -> bool:
    return _first(raw) == b"{"


def _first(raw: msgspec.Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def _beginning(raw: msgspec.Raw) -> str:
    """Decode the beginning of a text, cut where neither a character nor an escape is split."""
    for size in range(_BEGINNING_BYTES, _BEGINNING_BYTES - _LONGEST_ESCAPE, -1):
        try:
            return msgspec.json.decode(bytes(memoryview(raw)[:size]) + b'"', type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return ""


def _has_too_many_members(raw: msgspec.Raw) -> bool:
    return sum(1 for _ in islice(_MEMBER.finditer(raw), _MAX_MEMBERS + 1)) > _MAX_MEMBERS
