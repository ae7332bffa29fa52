"""Compiled conditions: plain data that is stored as JSON, with one type for each kind of test.

In JSON a condition is an array of its kind and the fields of its type, in order:
`["text", "request.path", "eq", "sys/seal", false]`, `["and", [...]]`, `["never"]`. `vaultwatch.rules.predicates` turns
conditions into functions. A field is a dotted path; a list on the path matches if any of its elements does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

FieldHow = Literal["eq", "prefix", "suffix", "contains"]
TextHow = Literal["eq", "prefix", "suffix", "contains", "glob"]
KeywordHow = Literal["contains", "glob", "re"]
Operator = Literal["eq", "lt", "lte", "gt", "gte"]
TimeUnit = Literal["minute", "hour", "day", "week", "month", "year"]


class And(msgspec.Struct, frozen=True, array_like=True, tag="and"):
    """Every one of `parts` holds."""

    parts: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True, array_like=True, tag="or"):
    """At least one of `parts` holds."""

    parts: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True, array_like=True, tag="not"):
    """`part` does not hold."""

    part: Condition


class Never(msgspec.Struct, frozen=True, array_like=True, tag="never"):
    """Never holds, as a test of an empty placeholder."""


class Text(msgspec.Struct, frozen=True, array_like=True, tag="text"):
    """A text in `field` is, begins with, ends with or contains `value`; unless `cased`, `value` is in lower case."""

    field: str
    how: TextHow
    value: str
    cased: bool = False


class Keyword(msgspec.Struct, frozen=True, array_like=True, tag="keyword"):
    """Any text of the record contains `value`, or matches it as a glob or a regex."""

    how: KeywordHow
    value: str
    cased: bool = False


class Regex(msgspec.Struct, frozen=True, array_like=True, tag="re"):
    """RE2 finds `pattern` in a text of `field`; flags are part of the pattern."""

    field: str
    pattern: str


class Cidr(msgspec.Struct, frozen=True, array_like=True, tag="cidr"):
    """An IP address in `field` belongs to `network`."""

    field: str
    network: str


class Exists(msgspec.Struct, frozen=True, array_like=True, tag="exists"):
    """`field` is present, or with `wanted` false absent; null and "" count as absent."""

    field: str
    wanted: bool


class Given(msgspec.Struct, frozen=True, array_like=True, tag="given"):
    """`field` is there, or with `wanted` false not; null, "" and [] are there."""

    field: str
    wanted: bool


class Number(msgspec.Struct, frozen=True, array_like=True, tag="number"):
    """A number in `field` compares to `value`; integers compare exactly, whatever their size."""

    field: str
    op: Operator
    value: int | float


class Boolean(msgspec.Struct, frozen=True, array_like=True, tag="bool"):
    """A boolean in `field`, or its text in any case, is `wanted`."""

    field: str
    wanted: bool


class TimePart(msgspec.Struct, frozen=True, array_like=True, tag="part"):
    """A part of the time in `field`, in UTC, compares to `value`."""

    field: str
    unit: TimeUnit
    op: Operator
    value: int


class FieldReference(msgspec.Struct, frozen=True, array_like=True, tag="field"):
    """A text in `field` is, begins with, ends with or contains one in the field `other`, in any case."""

    field: str
    other: str
    how: FieldHow


FieldTest: TypeAlias = Text | Regex | Cidr | Exists | Given | Number | Boolean | TimePart | FieldReference
Condition: TypeAlias = And | Or | Not | Never | Keyword | FieldTest


def leaves(condition: Condition) -> Iterator[Never | Keyword | FieldTest]:
    """Yield the single tests of a condition, from left to right."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def fields_of(condition: Condition) -> frozenset[str]:
    """Return the fields that a condition names."""
    tests = [leaf for leaf in leaves(condition) if not isinstance(leaf, Never | Keyword)]
    others = {test.other for test in tests if isinstance(test, FieldReference)}
    return frozenset({test.field for test in tests} | others)


def uses_field(fields: Iterable[str], name: str) -> bool:
    """Return whether the field `name` or one below it is among those that a condition names."""
    return any(field == name or field.startswith(f"{name}.") for field in fields)
