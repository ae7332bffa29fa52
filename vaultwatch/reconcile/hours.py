"""One hour of the archive: which one a message names, and what is logged of its comparison."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec

from vaultwatch.errors import SettingError
from vaultwatch.reading.identity import parse_time
from vaultwatch.reconcile.isolated import Found

HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class _Message(msgspec.Struct, frozen=True):
    """The event of a schedule, with the time at which it was due; or the hour that a person asks for."""

    time: str = ""
    hour: str = ""


def hour_of(message: str) -> datetime:
    """Return the beginning of the hour that a message names: of an event's time, the same hour of the day before.

    Raises:
        SettingError: It names none.
    """
    try:
        said = msgspec.json.decode(message, type=_Message)
        moment = parse_time(said.hour or said.time)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        moment = None
    if moment is None:
        raise SettingError(f"not the message of an hour: {message[:200]!r}")
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if said.hour else hour - _DAY


def summary_of(hour: datetime, found: Found) -> str:
    """Return what a comparison found, as one line of JSON in ASCII: nothing of a log can end or disguise a line.

    The left side is what came by the sockets, the right one is what the nodes' own files have.
    """
    return json.dumps({"hour": hour.isoformat(), **msgspec.to_builtins(found)})
