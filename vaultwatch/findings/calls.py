"""Calls in audit entries: who made a request, from where, on which mount, and how it ended.

Every entry of a log is read for them, so only the fields that they need are decoded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading.bounds import brief
from vaultwatch.reading.identity import outcome
from vaultwatch.reading.records import AuditEntry, Origin, read_audit_entry, split_tag
from vaultwatch.rules.remembered import Remembered
from vaultwatch.sentences import caller_with_id
from vaultwatch.unwrapping.standing_alone import is_refused, stands_alone

_MOUNT_LIMIT = 200
_NOTHING = msgspec.Raw()


class Call(NamedTuple):
    """What one audit entry shows of a call. All texts are from the log; they are short, and hold no secret.

    Attributes:
        time: As logged.
        event: The request's id, which its two entries share; "" if it has none.
        is_response: Whether the entry is a response.
        stands_alone: Whether Vault writes no other entry for the request.
        counts: Whether the call counts with this entry: each counts once, with the entry that shows how it ended.
        refused: Whether the request was denied or failed.
        who: The caller, as in the sentence of an alert.
        address: The caller's address.
        mount: The mount that was called, such as `secret/`.
        lane: Cluster, node and lane of the entry's tag; "" without a tag.
    """

    time: str
    event: str
    is_response: bool
    stands_alone: bool
    counts: bool
    refused: bool
    who: str
    address: str
    mount: str
    lane: str


class _Auth(msgspec.Struct, gc=False, frozen=True):
    display_name: str | None = None
    entity_id: str | None = None
    accessor: str | None = None
    policies: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NOTHING


class _Request(msgspec.Struct, gc=False, frozen=True):
    id: str | None = None
    operation: str | None = None
    path: str | None = None
    mount_point: str | None = None
    remote_address: str | None = None


class _Response(msgspec.Struct, gc=False, frozen=True):
    data: msgspec.Raw = _NOTHING
    secret: msgspec.Raw = _NOTHING


class _Entry(msgspec.Struct, gc=False, frozen=True):
    type: str
    request: _Request
    time: str | None = None
    error: str | None = None
    auth: _Auth | None = None
    response: _Response | None = None


_decode = msgspec.json.Decoder(_Entry).decode
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_call(line: bytes, origin: Origin | None = None) -> Call | None:
    """Return the call that an audit entry shows; None if the line holds no entry.

    Args:
        line: The entry, with its tag and what else is before it.
        origin: Where it came from, if its tag is already removed.
    """
    origin, text = split_tag(line) if origin is None else (origin, line)
    try:
        entry = _decode(text if text.startswith(b"{") else text[max(text.find(b'{"'), 0) :])
    except _FAULTS:
        read = read_audit_entry(text.rstrip(b"\r\n"), origin)
        return _of_fields(read.fields, origin) if isinstance(read, AuditEntry) else None
    return _of_entry(entry, origin)


def mount_of_request(request: dict[str, Any]) -> str:
    """Return the mount that a request called, such as `secret/`; "" if it has no path."""
    return _mounts[_text(request.get("path")), _text(request.get("mount_point"))]


def _of_entry(entry: _Entry, origin: Origin) -> Call:
    request, error = entry.request, entry.error
    is_response = entry.type.endswith("response")
    refused = bool(error) or (is_response and _holds_error(entry.response))
    return Call(
        entry.time or "",
        request.id or "",
        is_response,
        stands_alone(request.path, request.operation, error, is_response=is_response),
        is_response or is_refused(error),
        refused,
        _callers[_caller_key(entry.auth)],
        _addresses[request.remote_address],
        _mounts[request.path, request.mount_point],
        _lane(origin),
    )


def _of_fields(fields: dict[str, Any], origin: Origin) -> Call:
    """Return the call of an entry whose fields have unusual types."""
    request, error = fields["request"], fields.get("error")
    is_response = bool(fields["type"].endswith("response"))
    return Call(
        brief(fields.get("time"), 64),
        brief(request.get("id"), 64),
        is_response,
        stands_alone(request.get("path"), request.get("operation"), error, is_response=is_response),
        is_response or is_refused(error),
        outcome(fields) == "failed",
        caller_with_id(fields),
        brief(request.get("remote_address"), 64),
        mount_of_request(request),
        _lane(origin),
    )


def _holds_error(response: _Response | None) -> bool:
    """Return whether the response's data hold nothing but an error."""
    if response is None or b'"error' not in bytes(response.data):
        return False
    data, secret = response.data, bytes(response.secret) or b"null"
    parts = {"data": msgspec.json.decode(data), "secret": msgspec.json.decode(secret)}
    return outcome({"type": "response", "response": parts}) == "failed"


_CallerKey = tuple[str, str, str, bytes, bytes]


def _caller_key(auth: _Auth | None) -> _CallerKey:
    if auth is None:
        return "", "", "", b"", b""
    name, entity = auth.display_name or "", auth.entity_id or ""
    has_name = entity or name not in ("", "token")
    accessor, policies = ("", b"") if has_name else (auth.accessor or "", bytes(auth.policies))
    return name, entity, accessor, bytes(auth.metadata), policies


def _caller(key: _CallerKey) -> str:
    name, entity, accessor, *raw = key
    metadata, policies = (msgspec.json.decode(part) if part else None for part in raw)
    auth = {"display_name": name, "entity_id": entity, "accessor": accessor}
    return caller_with_id({"auth": {**auth, "policies": policies, "metadata": metadata}})


_MountKey = tuple[str | None, str | None]


def _mount(key: _MountKey) -> str:
    """Return the mount that an entry names; Vault before 1.14 names none, then it is the beginning of the path."""
    path, point = key
    if point or not path:
        return brief(point, _MOUNT_LIMIT)
    end = path.find("/", len("auth/") if path.startswith("auth/") else 0)
    return brief(path[: end + 1] or path, _MOUNT_LIMIT)


def _lane(origin: Origin) -> str:
    return f"{origin.cluster}/{origin.node}/{origin.lane}" if origin.lane else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _address(text: str | None) -> str:
    return brief(text, 64)


_callers: Remembered[_CallerKey, str] = Remembered(_caller, lambda key: sum(map(len, key)))
_addresses: Remembered[str | None, str] = Remembered(_address, lambda text: len(text or ""))
_mounts: Remembered[_MountKey, str] = Remembered(_mount, lambda key: sum(len(part or "") for part in key))
