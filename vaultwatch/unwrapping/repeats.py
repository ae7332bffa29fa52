r"""Recognise a text of an envelope that repeats another one, which shippers do.

{"message": "{...}", "event": {"original": "<14>host vault: {...}"}}    with what was in front of it
{"log": "{...}", "log_processed": {...}}                                parsed
{"full_message": "{...}", "short_message": "{..."}                      cut off
{"stdout": "{...}\n{...}", "stdout_lines": ["{...}", "{...}"]}          line by line
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import msgspec

from vaultwatch.reading.budget import exceeded


class _HasTexts(Protocol):
    @property
    def texts(self) -> list[bytes]: ...


_Found = TypeVar("_Found", bound=_HasTexts)

_RECORD = re.compile(
    rb'\{\s{0,64}\\{0,8}"(?:time|type|auth|request|@level|@message|@module|@timestamp)\\{0,8}"\s?:'
    rb"|\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[^\s\[]{0,20} \[ {0,2}[A-Z?]{3,7} {0,2}\]"
)
_TIME = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ](\d\d:\d\d:\d\d)")
_MOST = 64
"""How many lines are compared with each other; beyond that only equal ones are repeats."""


def shows_record(text: bytes) -> bool:
    """Return whether a text shows that it holds a record."""
    return _RECORD.search(text) is not None


def without_begun(found: Sequence[_Found]) -> list[_Found]:
    """Leave out texts that are only the beginning of another one; but a record of several lines is for `Known`."""
    texts = sorted(one.texts[0] for one in found if len(one.texts) == 1)
    begun = {
        text
        for text, other in pairwise(texts)
        if text != other and other.startswith(text) and not (shows_record(text) and other.startswith(b"\n", len(text)))
    }
    return [one for one in found if len(one.texts) != 1 or one.texts[0] not in begun]


class Known:
    """The lines of an envelope that were found so far."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lines: dict[bytes, Any] = {}
        self._without_records = set[tuple[bytes, ...]]()

    def without_repeats(self, texts: list[bytes]) -> list[bytes]:
        """Return the texts of which a line that shows a record is new, or of which none shows one.

        Of texts that repeat others, return what continues a record that the others only begin.
        """
        lines = [line for text in texts for line in text.split(b"\n")]
        records = [line for line in lines if shows_record(line)]
        if not records:
            is_known = tuple(texts) in self._without_records
            self._without_records.add(tuple(texts))
            return [] if is_known else texts
        is_new = any(not self._repeats(line) for line in records)
        new = texts if is_new else [line for line in lines if not (shows_record(line) or self._has(line))]
        for line in lines:
            self._lines.setdefault(line, _event(line) if shows_record(line) else None)
        return new

    def _has(self, line: bytes) -> bool:
        """Return whether a line is blank, one of those, or a part of one."""
        return (
            not line.strip()
            or line in self._lines
            or (len(self._lines) <= _MOST and any(line in other for other in self._lines))
        )

    def _repeats(self, line: bytes) -> bool:
        if line in self._lines:
            return True
        if len(self._lines) > _MOST:
            return False
        event, records = _event(line), len(_RECORD.findall(line))
        return any(
            line in other
            or (other in line and len(_RECORD.findall(other)) == records)
            or (event is not None and event == known)
            or _is_parsed(event, other)
            or _is_parsed(known, line)
            for other, known in self._lines.items()
        )


def _event(line: bytes) -> Any:
    """Return what identifies the record that a line is in JSON; None if it is another one, or is over the budget."""
    try:
        found = msgspec.json.decode(line) if line.startswith(b"{") and not exceeded(line) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    request = found.get("request")
    if isinstance(request, dict) and request.get("id"):
        return request["id"], found.get("type")
    return found


def _is_parsed(event: Any, text: bytes) -> bool:
    """Return whether a message in JSON is the one that a text is."""
    if not isinstance(event, dict) or text.startswith(b"{"):
        return False
    message, time = event.get("@message"), _TIME.search(str(event.get("@timestamp", "")))
    is_same = isinstance(message, str) and message != "" and message.encode("utf-8", "replace") in text
    return is_same and (time is None or time[1].encode() in text)
