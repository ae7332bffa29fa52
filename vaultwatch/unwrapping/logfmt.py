"""Server-log messages that a shipper has written as pairs: `ts=2026-... level=info msg="vault is sealed"`."""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES
from vaultwatch.reading.hclog import level_of

_PAIR = re.compile(rb'([A-Za-z_@][\w.@/-]{0,127})=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s"]*))(?:[ \t]+|\Z)', re.DOTALL)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_NAMES = {
    "@timestamp": ("ts", "time", "timestamp", "t", "datetime", "@timestamp"),
    "@level": ("level", "lvl", "severity", "@level"),
    "@message": ("msg", "message", "@message"),
    "@module": ("module", "logger", "component", "caller", "@module"),
}
"""What hclog calls a part of a message in JSON, and what shippers call it."""


def message_of(line: bytes) -> bytes | None:
    """Return the message in a line of pairs, as hclog writes it in JSON.

    None if it has no time, level or text, or a key or a text twice: which of both is meant is unknown.

    Args:
        line: A line without its end.
    """
    pairs = _pairs(line)
    found = {name: _taken(pairs, names) for name, names in _NAMES.items()}
    if found.keys() & pairs.keys() or any(name in pairs for name in _NAMES["@message"]):
        return None
    found["@level"] = level_of(found["@level"])
    if not (found["@message"] and found["@level"] and _RFC_3339.match(found["@timestamp"])):
        return None
    return msgspec.json.encode({name: value for name, value in {**pairs, **found}.items() if value})


def texts_of(line: bytes) -> dict[str, str]:
    """Return the texts in a line of pairs that can be a line of a log: of a message with time and level, only its text.

    Args:
        line: A line without its end.
    """
    pairs = _pairs(line)
    is_message = all(any(name in pairs for name in _NAMES[part]) for part in ("@timestamp", "@level", "@message"))
    return {name: pairs[name] for name in _NAMES["@message"] if name in pairs} if is_message else pairs


def _pairs(line: bytes) -> dict[str, str]:
    """Return all pairs of a line; none if it has anything else, or a key twice."""
    found: dict[str, str] = {}
    if b"=" not in line[:128] or len(line) > MAX_MESSAGE_BYTES:
        return found
    position = 0
    while position < len(line):
        if not (pair := _PAIR.match(line, position)):
            return {}
        name, quoted, plain = pair.groups()
        key = _text(name)
        if key in found:
            return {}
        found[key] = _text(plain) if quoted is None else _unquoted(quoted)
        position = pair.end()
    return found


def _taken(pairs: dict[str, str], names: tuple[str, ...]) -> str:
    """Remove and return the first of some pairs."""
    return next((pairs.pop(name) for name in names if name in pairs), "")


def _unquoted(value: bytes) -> str:
    try:
        return str(msgspec.json.decode(b'"' + value + b'"', type=str))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
