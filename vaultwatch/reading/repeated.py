"""Find members that a JSON object has twice. Vault writes each once: somebody else wrote or changed such an entry.

Readers of JSON disagree about them. Go, Python and this package take the last one, others the first, so an act could
be shown to one reader and hidden from another: both readings are evaluated.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading import lenient

_MAX_COUNTED_BYTES = 1024 * 1024
_FEW_NAMES = 64
"""To count them in the text is faster than to decode it again."""
MAX_SEARCHED_BYTES = 64 * 1024
"""Longer objects are not searched: with the places of their members in a list, they take too much memory."""
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Two names that are not UTF-8 would become one if they were written as they are, so a name with it proves nothing."""
_encode = msgspec.json.Encoder().encode


class Repeated(NamedTuple):
    """The names that stand twice in an object, and the object with the first member of each name."""

    names: tuple[str, ...]
    first: Any


def repeated_members(text: bytes, decoded: Any = None) -> Repeated | None:
    """Return which names an object, or any object in it, has twice; None if it has none.

    Args:
        text: JSON that has been decoded before.
        decoded: The object, if it is at hand.
    """
    if len(text) > MAX_SEARCHED_BYTES or (decoded is not None and _holds_all(decoded, text)):
        return None
    names: set[str] = set()

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        first: dict[str, Any] = {}
        for name, value in pairs:
            if name not in first:
                first[name] = value
            elif _UNREADABLE not in name:
                names.add(name)
        return first

    found = lenient.decode_pairs(text, members_of)
    return Repeated(tuple(sorted(names)), found) if names else None


def _holds_all(decoded: Any, text: bytes) -> bool:
    """Return whether a decoded object, written again, is its text: then it has all members of it.

    Vault writes no blanks, so that this spares most of its entries the search, which takes far longer.
    """
    try:
        return _encode(decoded) == text
    except ValueError:  # it has half of a character
        return False


def with_all_members(text: bytes, decoded: Any) -> Any:
    """Return a decoded value with a list of the values of each name that an object in it, no entry, has twice.

    Args:
        text: The value as JSON.
        decoded: The value, with the last member of each name.
    """
    if len(text) > _MAX_COUNTED_BYTES or not isinstance(decoded, dict | list) or _holds_all(decoded, text):
        return decoded
    names = _counted_names(decoded)
    if len(names) <= _FEW_NAMES and all(text.count(b'"%s"' % one.encode()) <= names[one] for one in names):
        return decoded

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs) or "request" in members:
            return members
        values: dict[str, list[Any]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return {name: found if len(found) > 1 else found[0] for name, found in values.items()}

    return lenient.decode_pairs(text, members_of)


def _counted_names(decoded: Any) -> Counter[str]:
    """Return how often the objects in a value have each name."""
    names, values = Counter[str](), [decoded]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            names.update(value.keys())
            value = value.values()
        values += [one for one in value if isinstance(one, dict | list)]
    return names
