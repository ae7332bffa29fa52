"""Anchors: texts that a condition requires in the fields of a record, from which the indexes are built."""

from __future__ import annotations

from typing import Any

import pytest

from vaultwatch.rules.anchors import (
    MAX_ALTERNATIVES,
    Masks,
    alternatives_of,
    audit_anchors,
    bits,
    masks,
    server_anchors,
)
from vaultwatch.rules.conditions import And, Condition, Exists, Never, Not, Or, Text

PATH = Text("request.path", "eq", "a", False)
POLICY = Text("auth.policies", "eq", "root", False)
NAMESPACE = Text("request.namespace.path", "prefix", "prod/", False)
DELETE = Text("request.operation", "eq", "delete", False)


def plain(condition: Condition, anchors_of: Any = audit_anchors) -> list[dict[str, list[tuple[str, str]]]]:
    """Return the alternatives as `{field: [(how, value)]}`."""
    return [
        {field: [(anchor.how, anchor.value) for anchor in anchors] for field, anchors in one.items()}
        for one in alternatives_of(condition, anchors_of)
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Text("request.path", "eq", "A", True), [{"request.path": [("eq", "a")]}]),
        (Text("mount_path", "eq", "a", False), [{"request.path": [("suffix", "/a")]}]),
        (Text("mount_path", "prefix", "a", False), [{"request.path": [("contains", "/a")]}]),
        (Text("mount_path", "glob", "a*", False), [{"request.path": [("glob", "*/a*")]}]),
        (
            Text("mount_type", "eq", "pki", False),
            [{"request.mount_type": [("eq", ""), ("eq", "pki"), ("eq", "ns_pki")]}],
        ),
        (Text("mount_type", "prefix", "pki", False), [{}]),
        (Text("request.operation", "eq", "Read", True), [{"request.operation": [("eq", "read")]}]),
        (Never(), []),
        (And((PATH, Never())), []),
        (Or((PATH, Never())), [{"request.path": [("eq", "a")]}]),
        (Not(PATH), [{}]),
        (Or((PATH, Exists("error", True))), [{}]),
        (Text("outcome", "eq", "failed", False), [{}]),
        (Text("request.operation", "contains", "read", False), [{}]),
        (Text("request.path", "glob", "a?", True), [{}]),
        (Text("request.path", "eq", "Σ", True), [{}]),
    ],
)
def test_anchors_are_what_a_matching_entry_must_contain(condition: Condition, expected: list[Any]) -> None:
    assert plain(condition) == expected


def test_anchors_on_several_fields_must_hold_together() -> None:
    both = {"request.path": [("eq", "a")], "request.namespace.path": [("prefix", "prod/")]}
    assert plain(And((PATH, NAMESPACE))) == [both]
    assert plain(And((PATH, Exists("error", True), NAMESPACE))) == [both]
    assert plain(Or((And((PATH, NAMESPACE)), POLICY))) == [{"auth.policies": [("eq", "root")]}, both]


def test_texts_of_one_field_are_one_alternative() -> None:
    other = Text("request.path", "prefix", "b/", False)
    assert plain(Or((PATH, POLICY, other))) == [
        {"request.path": [("eq", "a"), ("prefix", "b/")]},
        {"auth.policies": [("eq", "root")]},
    ]


def test_of_several_anchors_on_one_field_the_most_selective_are_chosen() -> None:
    assert plain(And((Text("request.path", "contains", "b", False), PATH))) == [{"request.path": [("eq", "a")]}]


def test_a_rule_has_a_bounded_number_of_alternatives() -> None:
    pairs = [And((Text("request.path", "eq", f"p{n}", False), NAMESPACE)) for n in range(MAX_ALTERNATIVES + 1)]
    (only,) = plain(Or(tuple(pairs)))
    assert len(only["request.path"]) == MAX_ALTERNATIVES + 1
    choices = Or(tuple(pairs[: MAX_ALTERNATIVES // 2]))
    assert len(plain(And((choices, choices)))) <= MAX_ALTERNATIVES


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Text("level", "eq", "error", False), [{"level": [("eq", "error")]}]),
        (Text("message", "eq", "Vault is sealed", True), [{"line": [("contains", "vault is sealed")]}]),
        (Text("message", "glob", "backend*failed to log*", False), [{"line": [("contains", "failed to log")]}]),
        (Text("fields.error", "prefix", "denied", False), [{"line": [("contains", "denied")]}]),
        (Text("message", "glob", "**", False), [{}]),
        (Text("message", "glob", r"a\*", False), [{}]),
        (Text("fields.error", "contains", "5.", False), [{}]),
        (Text("fields.error", "eq", "false", False), [{}]),
        (Text("node", "eq", "n", False), [{}]),
        (Text("level", "prefix", "err", False), [{}]),
    ],
)
def test_anchors_are_what_the_line_of_a_matching_message_must_contain(
    condition: Condition, expected: list[Any]
) -> None:
    assert plain(condition, server_anchors) == expected


def test_a_mask_has_a_bit_for_each_alternative_with_an_anchor_in_the_text() -> None:
    conditions = [
        PATH,
        Text("request.path", "suffix", "/a", False),
        DELETE,
        Text("request.path", "contains", "A", True),
    ]
    found = masks([one for condition in conditions for one in alternatives_of(condition, audit_anchors)])
    of_path = found["request.path"]
    assert list(bits(of_path.free)) == [2]
    assert list(bits(of_path.of("A"))) == [0, 3]
    assert list(bits(of_path.of("x/a"))) == [1, 3]
    assert of_path.of("x") == Masks("error", []).of("x") == 0
