"""Notifications as JSON for machines, within the size limit of SNS or SQS."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.text import FACT_LIMIT, action_lines, shortened, visible
from vaultwatch.printable import printable_json
from vaultwatch.seals import Seal

_LOG_TEXTS = (
    *("time", "event_key", "summary", "principal", "who", "path", "namespace", "remote_address", "error"),
    *("cluster", "node"),
)


_SEAL = b',"seal":"'
_SEAL_BYTES = len(_SEAL) + 32 + len(b'"')


def sealed_json(notification: Notification, limit_bytes: int, seal: Seal) -> bytes:
    """Return what `machine_json` does, with a last member `seal` over what it would be without that."""
    body = machine_json(notification, limit_bytes - _SEAL_BYTES)
    return body[:-1] + _SEAL + seal.of_message(body).encode() + b'"}'


def is_sealed(body: bytes, seal: Seal) -> bool:
    """Return whether `sealed_json` with this key has made these bytes."""
    content, _, end = body.rpartition(_SEAL)
    return hmac.compare_digest(end, seal.of_message(content + b"}").encode() + b'"}')


def machine_json(notification: Notification, limit_bytes: int) -> bytes:
    """Return the notification as JSON for `decode_notification`.

    If it does not fit, parts are left out: first records, then texts about the counted groups, then these groups. A
    marker replaces a record, with the SHA-256 of the record's JSON.

    Args:
        notification: The notification.
        limit_bytes: The most bytes to return.
    """
    for smaller in (_whole, _without_records, _with_short_groups, _without_groups, _bare):
        encoded = _encode(smaller(notification))
        if len(encoded) <= limit_bytes:
            return encoded
    return encoded


def decode_notification(body: bytes) -> Notification:
    """Decode a notification from `machine_json`.

    Raises:
        msgspec.DecodeError: The body is not one.
    """
    return msgspec.json.decode(body, type=Notification)


def _encode(notification: Notification) -> bytes:
    """Encode as JSON that has no unprintable characters: SQS refuses some (API reference, SendMessage)."""
    return printable_json(msgspec.json.encode(notification))


def _whole(notification: Notification) -> Notification:
    return notification


def _without_records(notification: Notification) -> Notification:
    return replace(notification, alerts=tuple(map(_without_record, notification.alerts)))


def _without_record(alert: Alert) -> Alert:
    whole = msgspec.json.encode(alert.record)
    marker = {"omitted": "too large for one message", "bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return replace(alert, record={"vaultwatch": marker})


def _with_short_groups(notification: Notification) -> Notification:
    """Keep only the worst alert of each counted group."""
    short = tuple(replace(one, alerts=(_shortened(one.worst, FACT_LIMIT),)) for one in notification.merged)
    return replace(_without_records(notification), merged=short)


def _without_groups(notification: Notification) -> Notification:
    return replace(notification, merged=(), alerts=tuple(_shortened(one, FACT_LIMIT) for one in notification.alerts))


def _bare(notification: Notification) -> Notification:
    return replace(notification, merged=(), alerts=tuple(map(_named, notification.alerts)))


def _named(alert: Alert) -> Alert:
    """Reduce an alert to its id and short texts: 25 of these fit into every sink, even if each is escaped twice."""
    kept = {"time": visible(alert.time, 40), "event_key": visible(alert.event_key, 70)}
    return replace(_without_record(alert), actions=(), group_values=(), **(dict.fromkeys(_LOG_TEXTS, "") | kept))


def _shortened(alert: Alert, limit: int) -> Alert:
    texts = {name: shortened(getattr(alert, name), limit) for name in _LOG_TEXTS}
    return replace(_without_record(alert), actions=tuple(action_lines(alert)), group_values=(), **texts)
