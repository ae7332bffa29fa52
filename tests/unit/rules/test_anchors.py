"""Anchors: texts that a condition requires in single fields, from which the index is built."""

from __future__ import annotations

import pytest

from vaultwatch.rules.anchors import anchors_of, operations_of
from vaultwatch.rules.conditions import And, Condition, Exists, Never, Not, Or, Text


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Text("request.path", "eq", "A", True), [("request.path", "eq", "a")]),
        (Text("mount_path", "eq", "a", False), [("request.path", "suffix", "a")]),
        (Text("mount_path", "prefix", "a", False), [("request.path", "contains", "a")]),
        (Text("mount_path", "glob", "a*", False), [("request.path", "glob", "*a*")]),
        (Never(), []),
        (Not(Text("request.path", "eq", "a", False)), None),
        (Or((Text("request.path", "eq", "a", False), Exists("error", True))), None),
        (Text("outcome", "eq", "failed", False), None),
        (Text("request.path", "glob", "a?", True), None),
        (Text("request.path", "eq", "Σ", True), None),
    ],
)
def test_anchors_are_what_a_matching_record_must_contain(
    condition: Condition, expected: list[tuple[str, str, str]] | None
) -> None:
    assert anchors_of(condition) == expected


def test_of_several_anchors_the_most_selective_are_chosen() -> None:
    path = Text("request.path", "contains", "a", False)
    kind = Text("request.mount_type", "eq", "kv", False)
    assert anchors_of(And((kind, path))) == [("request.path", "contains", "a")]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Text("request.operation", "eq", "Read", True), {"read"}),
        (Or((Text("request.operation", "eq", "read", False), Exists("error", True))), None),
        (Text("request.operation", "contains", "read", False), None),
        (Not(Text("request.operation", "eq", "read", False)), None),
        (And((Exists("error", True), Text("request.operation", "eq", "read", False))), {"read"}),
    ],
)
def test_a_matching_record_has_one_of_the_operations(condition: Condition, expected: set[str] | None) -> None:
    assert operations_of(condition) == expected
