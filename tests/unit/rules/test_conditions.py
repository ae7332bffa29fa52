"""Conditions as data: they can be encoded as JSON, and name their fields."""

from __future__ import annotations

import msgspec
import pytest

from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldReference,
    Keyword,
    Never,
    Not,
    Number,
    Or,
    Regex,
    Text,
    TimePart,
    fields_of,
    leaves,
    uses_field,
)

EVERY_KIND = And(
    (
        Or((Text("a", "glob", "x*", cased=True), Keyword("contains", "y"))),
        Not(Never()),
        Regex("b", "c+"),
        Cidr("c.d", "10.0.0.0/8"),
        Exists("e", True),
        Number("f", "gte", 2**70 + 1),
        Boolean("g", False),
        TimePart("time", "hour", "lt", 7),
        FieldReference("h", "i", "prefix"),
    )
)


def test_every_kind_travels_as_an_array_that_begins_with_its_name() -> None:
    data = msgspec.json.encode(EVERY_KIND)
    assert data.startswith(b'["and",[["or",[["text","a","glob","x*",true],["keyword","contains","y",false]]],')
    assert msgspec.json.decode(data, type=Condition) == EVERY_KIND


@pytest.mark.parametrize(
    "data", [b"[]", b'["other"]', b'["text","a"]', b'["text","a","like","b",false]', b'["and",["never"]]', b'"never"']
)
def test_what_is_not_a_condition_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=Condition)


def test_a_condition_names_its_fields_on_both_sides_of_a_reference() -> None:
    assert fields_of(EVERY_KIND) == {"a", "b", "c.d", "e", "f", "g", "time", "h", "i"}
    assert [type(leaf) for leaf in leaves(Not(Or((Never(), Exists("a", True)))))] == [Never, Exists]


@pytest.mark.parametrize(("name", "expected"), [("c", True), ("c.d", True), ("c.d.e", False), ("x*", False)])
def test_a_field_is_used_if_it_or_one_below_it_is_named(name: str, expected: bool) -> None:
    assert uses_field(fields_of(EVERY_KIND), name) is expected
