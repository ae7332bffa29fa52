"""Write a notification even if one of its alerts makes that raise: only that alert then lacks its texts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from vaultwatch.alerts import Alert, without_texts
from vaultwatch.dispatch.notification import Merged, Notification
from vaultwatch.errors import SinkRefused

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Written(NamedTuple, Generic[T]):
    """What was written, and how many alerts or counted groups are in it without their texts."""

    content: T
    bare_count: int


def write_apart(notification: Notification, write: Callable[[Notification], T]) -> Written[T]:
    """Write a notification; if that raises, each alert on which it raises again is written without its texts.

    Args:
        notification: The notification.
        write: Writes a notification, whose texts may come from a log.

    Raises:
        Exception: What `write` raises on a notification without any text from a log.
    """
    try:
        return Written(write(notification), 0)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  whatever a log contains, it costs at most its own alert's texts
        alerts = [_writable(notification, alert, write) for alert in notification.alerts]
        merged = [_writable_group(notification, one, write) for one in notification.merged]
        reduced = replace(notification, cluster="", alerts=tuple(alerts), merged=tuple(merged))
        bare = [one for one in alerts if one not in notification.alerts]
        bare_groups = [one for one in merged if one not in notification.merged]
        return Written(write(reduced), len(bare) + len(bare_groups))


def content_of(notification: Notification, write: Callable[[Notification], T]) -> T:
    """Return what `write_apart` writes, for a sink that sends one notification at a time; log what it leaves out.

    Args:
        notification: The notification.
        write: Writes a notification, whose texts may come from a log.

    Raises:
        Exception: What `write` raises on a notification without any text from a log.
    """
    content, bare_count = write_apart(notification, write)
    if bare_count:
        _log.error("notification %s: the texts of %d of its alerts cannot be written", notification.id, bare_count)
    return content


def send_apart(notification: Notification, send: Callable[[Notification], None]) -> None:
    """Send a notification; if the sink will never accept it, send it without any text from a log.

    Nobody knows every content that a service refuses: people must not miss an act because of its path.

    Args:
        notification: The notification.
        send: Sends a notification.

    Raises:
        DeliveryError: The sink has not accepted it. `SinkRefused`: not even without texts.
    """
    try:
        send(notification)
        return
    except SinkRefused as refused:
        _log.error("notification %s is sent without its texts: %s", notification.id, refused)
    send(without_any_text(notification))  # outside: a second refusal must not quote the first


def without_any_text(notification: Notification) -> Notification:
    """Return what is left of a notification that a sink refuses: rules, levels, times and ids."""
    alerts = tuple(without_texts(alert, SinkRefused.__name__) for alert in notification.alerts)
    return replace(notification, cluster="", alerts=alerts, merged=())


def _writable(notification: Notification, alert: Alert, write: Callable[[Notification], object]) -> Alert:
    error = _error(replace(notification, cluster="", alerts=(alert,), merged=()), write)
    return without_texts(alert, error) if error else alert


def _writable_group(notification: Notification, merged: Merged, write: Callable[[Notification], object]) -> Merged:
    error = _error(replace(notification, cluster="", alerts=(), merged=(merged,)), write)
    if not error:
        return merged
    return replace(
        merged, first_time="", last_time="", alerts=tuple(without_texts(alert, error) for alert in merged.alerts)
    )


def _error(notification: Notification, write: Callable[[Notification], object]) -> str:
    try:
        write(notification)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  returned by its name; its text may quote a log
        return type(error).__name__
    return ""
