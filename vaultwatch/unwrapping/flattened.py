r"""Put an audit entry together again whose members stand alone, as pipelines write it that know no nesting.

{"type":"request","request.id":"a1","request.path":"sys/seal","auth.policies":["root"]}
type=request request.id=a1 request.path=sys/seal auth.policies="[\"root\"]"
type,request.id,request.path,auth.policies          in a table, a column each
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from vaultwatch.reading.budget import MAX_DEPTH, MAX_VALUES, is_deep

_SHOWS_ENTRY = re.compile(r"((?:[\w@-]{1,64}\.){0,4})request\.(?:path|operation|id)")
_IS_NUMBER = re.compile(r"(?:_|\b)(?:ttl|port|uses)\Z")
_MOST_NAMES = 16
_OF_JSON = ("[", "{", "true", "false")


def entry_of(members: Any, *, are_texts: bool = False) -> bytes | None:
    """Return the entry in JSON; None if the members are of none, or contradict each other.

    Args:
        members: An object with its members by their paths, with dots between names, perhaps behind the same names.
        are_texts: Whether numbers, lists and objects are written as texts, and "" for what an entry lacks.
    """
    found = next(filter(None, map(_SHOWS_ENTRY.fullmatch, members)), None) if isinstance(members, dict) else None
    if not found or len(members) > MAX_VALUES or is_deep(members, MAX_DEPTH):
        return None
    above = found[1]
    entry: dict[str, Any] = {}
    for path, value in members.items():
        if not path.startswith(above) or (are_texts and value == ""):
            continue
        *names, last = path[len(above) :].split(".", _MOST_NAMES)
        part = entry
        for name in names:
            if not isinstance(part := part.setdefault(name, {}), dict):
                return None
        if last in part:
            return None
        part[last] = _value_of(last, value) if are_texts else value
    return msgspec.json.encode({name: _with_lists(value) for name, value in entry.items()})


def _value_of(name: str, text: Any) -> Any:
    if not isinstance(text, str) or not (text.startswith(_OF_JSON) or _IS_NUMBER.search(name)):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _with_lists(value: Any) -> Any:
    """Return a value with lists in place of objects whose names are 0, 1, 2 and so on."""
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    return list(inner.values()) if inner and all(map(str.__eq__, inner, map(str, range(len(inner))))) else inner
