"""Decide rules on partial records: true, false, or undecided because a field that was left out decides it.

A test of a field holds if any of its values passes, so what was decoded can show that it holds, and never that it does
not: then something that was left out might pass. Records within their budget never come here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from vaultwatch.reading.view import PartialView
from vaultwatch.rules.conditions import (
    And,
    Condition,
    Exists,
    FieldReference,
    FieldTest,
    Given,
    Keyword,
    Never,
    Not,
    Or,
    Text,
)
from vaultwatch.rules.predicates import Predicate, predicate

_BEGINNING_SHOWS = ("prefix", "contains")  # passed by a text if its beginning passes
_BEGINNING_DECIDES = ("eq", "prefix")  # decided by a beginning that is longer than the value


def decided(condition: Condition, view: PartialView) -> bool | None:
    """Return whether a condition holds for a complete record of which only a part is known; None if that is undecided.

    Args:
        condition: The condition.
        view: The known part.
    """
    match condition:
        case And(parts):
            return _all(decided(part, view) for part in parts)
        case Or(parts):
            return _negated(_all(_negated(decided(part, view)) for part in parts))
        case Not(part):
            return _negated(decided(part, view))
        case Exists(field, False):
            return _negated(_test(Exists(field, True), view))
        case Given(field, False):
            return _negated(_test(Given(field, True), view))
        case Never():
            return False
        case Keyword(how):
            return True if _holds(condition, view, how in _BEGINNING_SHOWS) else None
        case _:
            return _test(condition, view)


def _test(test: FieldTest, view: PartialView) -> bool | None:
    fields = (test.field, test.other) if isinstance(test, FieldReference) else (test.field,)
    how = test.how if isinstance(test, Text) else ""
    if _holds(test, view, isinstance(test, Exists | Given) or how in _BEGINNING_SHOWS):
        return True
    if not any(map(view.lacks, fields)):
        return False
    if isinstance(test, Text) and how in _BEGINNING_DECIDES and len(view.beginning(test.field)) > 2 * len(test.value):
        return False
    return None


def _holds(test: Condition, view: PartialView, beginning_shows: bool) -> bool:
    return _predicate(test)(view.begun if beginning_shows else view.known)


@lru_cache(maxsize=4096)
def _predicate(test: Condition) -> Predicate:
    return predicate(test)


def _all(results: Iterable[bool | None]) -> bool | None:
    """Return whether all are true; those behind the first that is false are not asked."""
    undecided = False
    for result in results:
        if result is False:
            return False
        undecided |= result is None
    return None if undecided else True


def _negated(result: bool | None) -> bool | None:
    return None if result is None else not result
