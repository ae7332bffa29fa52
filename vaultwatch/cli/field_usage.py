"""Count the fields of records, and keep some values of each; bounded, because clients control the names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vaultwatch.reading.view import View
from vaultwatch.redaction import SALTED
from vaultwatch.rules.predicates import text_of

MAX_FIELDS = 2_000
MAX_EXAMPLES = 3
_MAX_NAME = 200
_MAX_VALUE = 1_000
_HASHED = f"{SALTED}..."


class Usage(msgspec.Struct):
    """How often a field occurs.

    Attributes:
        records: In how many records.
        examples: Its first different values, as logged; at most `MAX_EXAMPLES`, of at most 1,000
            characters. All hashes are one value.
        has_more: Whether there were others.
    """

    records: int = 0
    has_more: bool = False
    examples: list[str] = msgspec.field(default_factory=list)


class FieldUsage:
    """The fields of the records of one log.

    Attributes:
        records: The number of records.
        fields: By the name that rules use, in the order in which they occurred; at most `MAX_FIELDS`.
        left_out: How often there was a value in another field.
    """

    def __init__(self) -> None:
        self.records = self.left_out = 0
        self.fields: dict[str, Usage] = {}

    def add(self, view: View) -> bool:
        """Count the fields of a record. Returns false: a rule that observes never matches."""
        self.records += 1
        seen: set[str] = set()
        for field, text in _leaves(view, ""):
            usage = self._usage(field)
            if usage is None:
                self.left_out += 1
                continue
            usage.records += field not in seen
            seen.add(field)
            if not usage.has_more and text not in usage.examples:
                usage.has_more = len(usage.examples) == MAX_EXAMPLES
                usage.examples += [] if usage.has_more else [text]
        return False

    def _usage(self, field: str) -> Usage | None:
        if field not in self.fields and len(self.fields) >= MAX_FIELDS:
            return None
        return self.fields.setdefault(field, Usage())


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the fields below a value with their texts, without those that count as absent for rules."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}"[:_MAX_NAME].removeprefix("."))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    elif text := text_of(value):
        yield name, _HASHED if text.startswith(SALTED) else text[:_MAX_VALUE]
