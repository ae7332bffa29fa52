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
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading import lenient
from vaultwatch.reading.budget import MAX_DEPTH, Budget, is_deep
from vaultwatch.reading.left_out import LEFT_OUT, NOTE, LeftOut, Path

_MAX_VALUE_BYTES = 64 * 1024
_MAX_TEXT_BYTES = 128 * 1024  # a key of Vault's storage, and so a path that means something, has at most 32 KiB
_MAX_DECODED_BYTES = 256 * 1024
_MAX_TEXTS_BYTES = 256 * 1024
_BEGINNING_BYTES = 4096
_SCALAR_BYTES = 16  # cheaper than a marker
_LONGEST_ESCAPE = 12  # a surrogate pair
_MAX_MEMBERS = 10_000
_MEMBER = re.compile(rb'"[ \t\r\n]*:')
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
_MAX_NAME_BYTES = 4096
_RawMembers = Iterator[tuple[str, msgspec.Raw]]
_MAX_DECODED_DEPTH = MAX_DEPTH - 2
"""What reaches `MAX_DEPTH` may have lost its depths before it is decoded here."""
_MAX_LEVELS = 6
"""Each level is skipped again for every level that it is in, so a deep entry would take quadratic time."""


class _Level(NamedTuple):
    """An object that is decoded member by member, and the path to it."""

    path: Path
    target: dict[str, Any]
    members: _RawMembers


def _struct(names: str) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "members", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names.split()]
    )


_STRUCTS = {path: _struct(names) for path, names in _MEMBERS.items()}
_NAMES = {path: frozenset(names.split()) for path, names in _MEMBERS.items()}


def decode_in_part(text: bytes | bytearray) -> tuple[dict[str, Any], LeftOut]:
    """Return a JSON object with its largest members left out, and which these are.

    Args:
        text: The object.

    Raises:
        msgspec.DecodeError: It is not a JSON object.
        UnicodeDecodeError: The name of one of its members is not UTF-8.
        RecursionError: It is nested too deeply to be skipped.
    """
    fields: dict[str, Any] = {}
    parts = _Parts()
    parts.fill(fields, text)
    return fields, LeftOut(parts.beginnings, parts.decoded)


def note_of(text: bytes, budget: Budget) -> dict[str, str]:
    """Return the member `left_out`, which says that the others are only a part of the object.

    Args:
        text: The object.
        budget: The limit that it exceeds.
    """
    digest = hashlib.sha256(text).hexdigest()
    return {NOTE: f"[parts of {len(text)} bytes, over the budget of {budget}; SHA-256 of the whole: {digest}]"}


class _Parts:
    """Decodes members as long as there is room, and notes which it leaves out."""

    def __init__(self) -> None:
        self.beginnings: dict[Path, str] = {}
        self.decoded: dict[Path, frozenset[str]] = {(): _NAMES[""]}
        self._bytes = _MAX_DECODED_BYTES
        self._text_bytes = _MAX_TEXTS_BYTES
        self._members = _MAX_MEMBERS

    def fill(self, fields: dict[str, Any], text: bytes | bytearray) -> None:
        levels: deque[_Level] = deque([_Level((), fields, _known(text, ""))])
        while levels:
            above, target, members = levels.popleft()
            for name, raw in members:
                path = (*above, name)
                below = self._below(raw, path)
                if below is None:
                    target[name] = self._value(raw, path)
                else:
                    target[name] = inner = dict[str, Any]()
                    levels.append(_Level(path, inner, below))

    def _below(self, raw: msgspec.Raw, path: Path) -> _RawMembers | None:
        """Return the members of an object that is decoded member by member; None for any other value."""
        if not _is_object(raw):
            return None
        if len(path) == 1 and path[0] in _STRUCTS:
            self.decoded[path] = _NAMES[path[0]]
            return _known(raw, path[0])
        is_small = len(raw) <= _MAX_VALUE_BYTES
        if len(path) > _MAX_LEVELS or (is_small and not _is_deep(raw, path)) or not self._has_room_for(raw):
            return None
        try:
            return iter(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items())
        except UnicodeDecodeError:
            return None

    def _has_room_for(self, raw: msgspec.Raw) -> bool:
        """Reserve room for the members of an object, if there is any; those of inner objects count too.

        There is none for a name that is too long: it would be decoded before its length is known.
        """
        count = end = 0
        for found in islice(_MEMBER.finditer(raw), self._members + 1):
            if found.start() - end > _MAX_NAME_BYTES and _is_long(raw, found.start()):
                return False
            count, end = count + 1, found.end()
        if count > self._members:
            return False
        self._members -= count
        return True

    def _value(self, raw: msgspec.Raw, path: Path) -> Any:
        size = len(raw)
        if size <= _MAX_VALUE_BYTES and (size <= self._bytes or size <= _SCALAR_BYTES) and not _is_deep(raw, path):
            self._bytes -= size
            return lenient.decode(raw)
        if _first(raw) != b'"':
            self.beginnings[path] = ""
            return f"[{size}{LEFT_OUT}"
        if size <= min(_MAX_TEXT_BYTES, self._text_bytes):
            self._text_bytes -= size
            return lenient.decode(raw)
        self.beginnings[path] = beginning = _beginning(raw)
        return f"{beginning}… [{size} bytes, cut]"


def _is_deep(raw: msgspec.Raw, path: Path) -> bool:
    """Return whether a small value is nested too deeply for where it is."""
    content, limit = bytes(raw), _MAX_DECODED_DEPTH - len(path)
    if content.count(b"{") + content.count(b"[") <= limit:
        return False
    try:
        return is_deep(lenient.decode(content), limit)
    except RecursionError:
        return True


def _is_long(raw: msgspec.Raw, end: int) -> bool:
    """Return whether a quote ends a text that is too long for a name; one that is escaped ends none."""
    view, start = memoryview(raw), end - _MAX_NAME_BYTES - 1
    ahead = bytes(view[max(0, start - _MAX_NAME_BYTES) : start])
    is_cut = (len(ahead) - len(ahead.rstrip(b"\\"))) % 2  # the first byte is escaped by the one before
    before = bytes(view[start + is_cut : end])
    bare = before.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    return not bare.endswith(b"\\") and b'"' not in bare


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
