"""Anchors: texts of which a record must contain at least one to match a rule.

They are necessary, not sufficient: an index built on them may name too many rules, but never too few. All anchors on
one field are looked up at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import re2

from vaultwatch.reading.view import AUDIT_DERIVED
from vaultwatch.rules.conditions import And, Boolean, Condition, Exists, Never, Or, Text, TextHow
from vaultwatch.rules.predicates import glob_regex

MATCHER_MEMORY_BYTES = 256 * 1024 * 1024

RuleNumbers = frozenset[int]


class Anchor(NamedTuple):
    """`value`, in lower case, must occur in `field`: as a whole, at its start, at its end, anywhere, or as a glob."""

    field: str
    how: TextHow
    value: str


# How selective an anchor is, best first: by its field, then by how it is matched.
_FIELD_WORTH = ("request.path", "request.namespace.path", "auth.policies")
_WEAK = frozenset({"request.mount_type", "request.mount_point", "auth.token_type"})
_HOW_WORTH: tuple[TextHow, ...] = ("eq", "prefix", "suffix", "contains", "glob")
_NEVER_ANCHORS = AUDIT_DERIVED | {
    *("type", "auth", "request", "response", "request.namespace", "request.id", "request.operation")
}


def anchors_of(condition: Condition) -> list[Anchor] | None:
    """Return texts of which one must occur for the condition to hold; None if the condition implies none."""
    match condition:
        case Never():
            return []
        case Text("mount_path", how, value, cased):
            return anchors_of(Text("request.path", *_within_a_path(how, value), cased))
        case Text(field, how, value):
            return [Anchor(field, how, value.lower())] if _is_anchorable(condition) else None
        case Or(parts):
            branches = [anchors_of(part) for part in parts]
            known = [branch for branch in branches if branch is not None]
            return [anchor for branch in known for anchor in branch] if len(known) == len(branches) else None
        case And(parts):
            choices = [choice for part in parts if (choice := anchors_of(part)) is not None]
            return min(choices, key=_cost, default=None)
        case _:
            return None


def needs_field(condition: Condition, name: str) -> bool:
    """Return whether the condition holds only for an entry that has this derived field.

    Args:
        condition: The condition of a rule.
        name: `secret_in_clear` or `partial`, which few entries have.
    """
    match condition:
        case Boolean(field, wanted) | Exists(field, wanted):
            return field == name and wanted
        case Text(field):
            return field == name
        case And(parts):
            return any(needs_field(part, name) for part in parts)
        case Or(parts):
            return all(needs_field(part, name) for part in parts)
        case _:
            return False


def operations_of(condition: Condition) -> frozenset[str] | None:
    """Return the operations, in lower case, of which the condition needs one; None if it holds for any."""
    match condition:
        case Text("request.operation", "eq", value):
            return frozenset({value.lower()})
        case Or(parts):
            branches = [operations_of(part) for part in parts]
            return None if None in branches else frozenset().union(*(branch or () for branch in branches))
        case And(parts):
            return min((found for part in parts if (found := operations_of(part)) is not None), key=len, default=None)
        case _:
            return None


def _within_a_path(how: TextHow, value: str) -> tuple[TextHow, str]:
    """Turn a test of `mount_path`, which is the end of `request.path`, into one that `request.path` must pass."""
    implied: dict[TextHow, tuple[TextHow, str]] = {
        "eq": ("suffix", value),
        "prefix": ("contains", value),
        "glob": ("glob", f"*{value}"),
    }
    return implied.get(how, (how, value))


def _is_anchorable(test: Text) -> bool:
    if test.field in _NEVER_ANCHORS or test.field.startswith("local."):
        return False
    # The lower case of a part is not always part of the lower case of the whole, and may have another length.
    return not test.cased or (test.value.isascii() and not (test.how == "glob" and "?" in test.value))


def _cost(anchors: list[Anchor]) -> tuple[int, int]:
    return max((_anchor_cost(anchor) for anchor in anchors), default=(0, 0))


def _anchor_cost(anchor: Anchor) -> tuple[int, int]:
    if anchor.field in _WEAK:
        return len(_FIELD_WORTH) + 1, 0
    worth = _FIELD_WORTH.index(anchor.field) if anchor.field in _FIELD_WORTH else len(_FIELD_WORTH)
    return worth, _HOW_WORTH.index(anchor.how)


class FieldMatcher:
    """All anchors on one field: a dictionary for whole values, one RE2 automaton for the others."""

    def __init__(self, anchors: Iterable[tuple[Anchor, int]]) -> None:
        """Take anchors, each with the number of its rule."""
        whole: dict[str, set[int]] = defaultdict(set)
        patterns: dict[str, set[int]] = defaultdict(set)
        for anchor, rule in anchors:
            table, key = (whole, anchor.value) if anchor.how == "eq" else (patterns, _pattern(anchor))
            table[key].add(rule)
        self._whole = {value: frozenset(rules) for value, rules in whole.items()}
        self._rules_of = [frozenset(rules) for rules in patterns.values()]
        self._match = _automaton(patterns).Match if patterns else lambda _: None

    def rules(self, text: str) -> RuleNumbers:
        """Return the numbers of the rules with an anchor that occurs in this value of the field."""
        text = text.lower()
        found = self._whole.get(text, frozenset())
        matched = self._match(text)
        return found.union(*(self._rules_of[number] for number in matched)) if matched else found


def matchers(anchors: Iterable[Sequence[Anchor] | None]) -> dict[str, FieldMatcher]:
    """Build the matcher of each field from the anchors of each rule; a rule's number is its position."""
    by_field: dict[str, list[tuple[Anchor, int]]] = defaultdict(list)
    for number, known in enumerate(anchors):
        for anchor in known or ():
            by_field[anchor.field].append((anchor, number))
    return {field: FieldMatcher(found) for field, found in by_field.items()}


def _automaton(patterns: Iterable[str]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MATCHER_MEMORY_BYTES
    automaton = re2.Set.SearchSet(options)
    for pattern in patterns:
        automaton.Add(pattern)
    automaton.Compile()
    return automaton


def _pattern(anchor: Anchor) -> str:
    literal: str = re2.escape(anchor.value)
    if anchor.how == "prefix":
        return r"\A" + literal
    if anchor.how == "suffix":
        return literal + r"\z"
    return literal if anchor.how == "contains" else rf"\A(?:{glob_regex(anchor.value)})\z"
