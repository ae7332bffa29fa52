"""Bound the size of a record in an alert.

The largest values are replaced by a marker; texts that people need, such as path and error, are shortened instead. An
entry can be 99 MiB, a notification cannot: without this bound, a large request would make its alert undeliverable.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from vaultwatch.patterns import on_first_use
from vaultwatch.redaction import redacted_text

MAX_RECORD_BYTES = 32 * 1024
MAX_TEXT_CHARACTERS = 1024
_MAX_DESCENT = 6
_HASHED_CHARACTERS = 65_536  # at once: the bytes of a whole text would be as large as the text
_MAX_ITEMS = 1000  # sorting those of a longer list by size would take more memory than the list
_LONGEST_TOKEN = 2_048  # characters, several times those of a batch token
_ENDS_WITH_HASH = on_first_use(r" [0-9a-f]{32}\Z")
_NAMED = (
    *(("time",), ("error",), ("auth", "display_name"), ("auth", "entity_id")),
    *(("request", "operation"), ("request", "path"), ("request", "remote_address"), ("request", "namespace", "path")),
    *(("message",), ("fields", "path"), ("fields", "namespace"), ("fields", "error")),
)
"""Fields whose beginning is always kept, because an alert shows them."""


def brief(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return a value as text of at most `limit` characters, with its secrets redacted.

    Args:
        value: Text; anything else is converted to JSON, and None to "".
        limit: Characters.
    """
    if value is None:
        return ""
    text = _beginning(value if isinstance(value, str) else msgspec.json.encode(value).decode(), limit)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def distinct(value: Any, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return what `brief` does; a text that is cut or redacted ends with a hash of the whole: it equals no other text.

    So does one that ends like that itself.

    Args:
        value: Text; anything else is as in `brief`.
        limit: Characters.
    """
    shown = brief(value, limit)
    if not isinstance(value, str) or (shown == value and not _ENDS_WITH_HASH().search(value)):
        return shown
    found = _hash_of(value)
    return f"{brief(value, limit - len(found) - 1)} {found}"


def _hash_of(text: str) -> str:
    found = hashlib.blake2b(digest_size=16)
    for start in range(0, len(text), _HASHED_CHARACTERS):
        found.update(text[start : start + _HASHED_CHARACTERS].encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _beginning(text: str, limit: int) -> str:
    """Return the beginning of a text, redacted. It is longer than `limit`: a token that is cut is not recognised."""
    return redacted_text(text[: limit + _LONGEST_TOKEN])


def bounded(record: dict[str, Any], limit: int = MAX_RECORD_BYTES) -> dict[str, Any]:
    """Return the record with its largest values replaced by markers, so that its JSON has at most `limit` bytes.

    A record within the limit is returned unchanged.
    """
    whole = msgspec.json.encode(record)
    if len(whole) <= limit:
        return record
    digest = hashlib.sha256(whole).hexdigest()
    del whole  # as large as the record, and not needed while parts of it are encoded
    for names in _NAMED:
        record = _cut(record, names, digest)
    size = len(msgspec.json.encode(record))
    shrunk = _shrink(record, size, limit, digest, _MAX_DESCENT) if size > limit else record
    return shrunk if isinstance(shrunk, dict) else {"left_out": shrunk}


def _cut(value: Any, names: tuple[str, ...], digest: str) -> Any:
    """Return a copy in which the text at this path is shortened, if it is long."""
    if names:
        name, *below = names
        if not isinstance(value, dict) or name not in value:
            return value
        return {**value, name: _cut(value[name], tuple(below), digest)}
    if not isinstance(value, str) or len(value) <= 2 * MAX_TEXT_CHARACTERS:
        return value
    kept = _beginning(value, MAX_TEXT_CHARACTERS)[:MAX_TEXT_CHARACTERS]
    return f"{kept}… {_marker(len(msgspec.json.encode(value)), digest)}"


def _marker(size: int, digest: str) -> str:
    return f"[{size} bytes left out; SHA-256 of the whole record: {digest}]"


def _shrink(value: Any, size: int, limit: int, digest: str, descent: int) -> Any:
    marker = _marker(size, digest)
    if not isinstance(value, dict | list) or descent == 0 or len(value) > _MAX_ITEMS:
        return marker
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    sizes = {key: len(msgspec.json.encode(item)) for key, item in items}
    kept = dict(items)
    for key, of_item in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if size <= limit:
            break
        room = max(limit - (size - of_item), 0)
        kept[key] = _shrink(kept[key], of_item, room, digest, descent - 1)
        size += len(msgspec.json.encode(kept[key])) - of_item
    if size > limit:
        return marker
    return kept if isinstance(value, dict) else list(kept.values())
