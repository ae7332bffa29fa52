"""Event keys and outcomes.

Vault logs one event several times: as a request entry and a response entry, on every audit device, and each of these
reaches us by two ways (stream and archive). All of these records have the same event key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from vaultwatch.reading.bounds import distinct
from vaultwatch.reading.records import AuditEntry, ServerMessage, SkippedMessage
from vaultwatch.reading.repeated import repeated_members
from vaultwatch.redaction import SALTED

Outcome = Literal["succeeded", "failed", "unknown"]


class Act(NamedTuple):
    """Who did what, from where, in which namespace, and on what path; "" for what an entry does not show.

    `caller` identifies who did it, `name` is what texts call him.
    """

    operation: str = ""
    name: str = ""
    caller: str = ""
    address: str = ""
    namespace: str = ""
    path: str = ""

    def agrees_with(self, other: Act) -> bool:
        """Return whether another entry of the event shows this act: nothing else, and nothing more."""
        return all(mine == its for mine, its in zip(self, other, strict=True) if its)


_AFTER_THE_ACT = (
    *("internal error", "context canceled", "context deadline exceeded"),
    *("leadership lost while committing log", "leadership lost while committing log)"),
)
"""How errors end that say nothing about the act. Whoever asks for a wrapped response and does not wait for it gets one:
what he asked for is done, and wrapping the response has failed (measured on OpenBao 2.6). What a node writes while it
loses the leadership may be done by the next leader (hashicorp/raft#561); Consul puts the words in parentheses."""
_LONGEST_TIME = 64  # a JSON message can have a time of megabytes


def encoded_in_order(value: Any) -> bytes:
    """Return the JSON of a value without blanks, with the members of each object in the order of their names.

    Names are sorted here, because msgspec (0.22) takes quadratic time for some orders of them: 90 s for 225,000 of them
    that are in order behind a few others.
    """
    return msgspec.json.encode(_in_order_of_names(value))


def _in_order_of_names(value: Any) -> Any:
    if type(value) is dict:
        return {name: _in_order_of_names(value[name]) for name in sorted(value)}
    return [_in_order_of_names(item) for item in value] if type(value) is list else value


def is_response(fields: dict[str, Any]) -> bool:
    """Return whether an entry is a response; kmip and others write `<mount type>-response`."""
    return bool(fields["type"].endswith("response"))


def outcome(fields: dict[str, Any]) -> Outcome:
    """Return how a request ended, as far as one audit entry shows it.

    A request has failed if its entry has a top-level `error`, but for one after the act, or a response whose data holds
    only `error` or `errors`: a login under an unknown name, a wrong key share and a call to a disabled endpoint show in
    no other way. Beside the lease of a secret, these data are the secret: that of a key-value engine of version 1 can
    have a key called `error`.
    `policy_results.allowed` does not show it (measured on Vault 1.14 and OpenBao 2.6).

    Args:
        fields: One audit entry, a request or a response.
    """
    if error := fields.get("error"):
        is_after = isinstance(error, str) and error.rstrip().endswith(_AFTER_THE_ACT)
        return "unknown" if is_after else "failed"
    if not is_response(fields):
        return "unknown"
    response = fields.get("response")
    data = response.get("data") if isinstance(response, dict) and response.get("secret") is None else None
    filled = [key for key, value in data.items() if value not in (None, "", [])] if isinstance(data, dict) else []
    return "failed" if filled in (["error"], ["errors"]) else "succeeded"


def audit_event_key(fields: dict[str, Any]) -> str:
    """Return the event key of an audit entry: its `request.id`, which all entries of an event share.

    An entry without one gets a SHA-256 of what every device logs alike: no salted values, no fractions of a second.
    """
    request_id = fields["request"].get("id")
    if isinstance(request_id, str) and request_id:
        return request_id
    bare = _without_salted(fields)
    time = fields.get("time")
    bare["time"] = time.partition(".")[0].rstrip("Z") if isinstance(time, str) else None
    return hashlib.sha256(encoded_in_order(bare)).hexdigest()


def act_of(entry: AuditEntry) -> Act:
    """Return what all entries of an event show, as far as this one does; whom a login names, its request lacks."""
    fields = entry.left_out.known(entry.fields) if entry.partial else entry.fields
    auth, request = _object(fields.get("auth")), _object(fields.get("request"))
    name = None if is_of_login(fields) else auth.get("display_name")
    caller = None if is_of_login(fields) else auth.get("entity_id") or name
    address, namespace = request.get("remote_address"), shown_namespace(request)
    shown = (request.get("operation"), name, caller, address, namespace, request.get("path"))
    return Act(*map(distinct, shown))


def shown_namespace(request: dict[str, Any]) -> Any:
    """Return the path of a request's namespace; the root namespace has an id only. None if there is neither."""
    namespace = _object(request.get("namespace"))
    return namespace.get("path") or namespace.get("id")


def is_of_login(fields: dict[str, Any]) -> bool:
    """Return whether the caller that an entry names is the one that it logs in: its response gives out his token."""
    used, response = _object(fields.get("auth")), _object(fields.get("response"))
    given, wrapped = _object(response.get("auth")), _object(response.get("wrap_info")).get("wrapped_accessor")
    pairs = (("client_token", given.get("client_token")), ("accessor", given.get("accessor")), ("accessor", wrapped))
    return any(used.get(name) and used.get(name) == its for name, its in pairs)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_salted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_salted(item) for key, item in value.items() if not _is_salted(item)}
    if isinstance(value, list):
        return [_without_salted(item) for item in value if not _is_salted(item)]
    return value


def _is_salted(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(SALTED)


def log_start(*, from_beginning: bool) -> str:
    """Return the time to use for messages without one, until a message with a time has been read.

    It is "" for a reader that reads a log from its beginning. A process that continues a log does not know the last
    time that its predecessor read, so it uses the present time: two messages must not get the same key.
    """
    return "" if from_beginning else datetime.now(UTC).isoformat()


Seen = tuple[str, int]
"""The last time that a node logged, and the number of its messages without a time since then."""


class ServerEventKeys:
    """Makes the event keys of the server-log messages of one log, in their order.

    A key is made of what the server has written, and its node: other programs put different texts before its lines.
    The key of a message without a time of its own (a banner) uses the time in its syslog header; without one, the last
    time that its node logged (else `log_start`, when the log began) and the message's ordinal since then.
    """

    def __init__(self, max_nodes: int = 1000, log_start: str = "", last: Mapping[str, Seen] | None = None) -> None:
        self._last: dict[str, Seen] = dict(last or {})
        self._log_start = log_start
        self._max_nodes = max_nodes

    def key(self, message: ServerMessage) -> str:
        """Return the message's event key: 64 hex digits."""
        node = message.node
        own = (message.own or message.raw.partition(b"\n")[0]).strip()
        parts = [self._time(message, node), message.level, message.module, node]
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        digest.update(b"\0" + (_in_order(own) if own.startswith(b"{") else own))
        return digest.hexdigest()

    def skip(self, message: SkippedMessage) -> None:
        """Note the time of a message whose key is not needed."""
        self._time(message, message.node)

    def last(self, node: str) -> Seen | None:
        """Return what another process needs to continue this node's log with the same keys."""
        return self._last.get(node)

    def time(self, message: ServerMessage) -> str:
        """Return a message's time as logged: its own, else its header's, else the last one that its node logged."""
        last, _ = self._last.get(message.node, (self._log_start, 0))
        return message.time or message.header_time or last

    def _time(self, message: ServerMessage | SkippedMessage, node: str) -> str:
        if time := message.time or (node and message.header_time):
            if len(self._last) >= self._max_nodes and node not in self._last:
                self._last.clear()
            self._last[node] = (time[:_LONGEST_TIME], 0)
            return time
        last, ordinal = self._last.get(node, (self._log_start, 0))
        self._last[node] = (last, ordinal + 1)
        return f"{last}+{ordinal + 1}"


def _in_order(text: bytes) -> bytes:
    """Return an object with its members in order and no blanks, as programs that read JSON write it; or as it is."""
    try:
        found = msgspec.json.decode(text)
        return text if repeated_members(text, found) else encoded_in_order(found)
    except (ValueError, RecursionError):
        return text


def seconds_of(text: Any) -> float | None:
    """Return a time as `parse_time` reads it, in seconds since the epoch."""
    moment = parse_time(text)
    return moment.timestamp() if moment else None


def parse_time(text: Any) -> datetime | None:
    """Parse an RFC 3339 time with 0 to 9 decimals; None for anything else, and for the years 1 and 9999."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # a time in the first or last year may not exist in another zone (Go's zero time is in the year 1)
    return moment if moment.tzinfo and 1 < moment.year < 9999 else None
