"""Why tests of one field never hold together, as `a and b` with two operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vaultwatch.rules.compiling.checks import has_one_value
from vaultwatch.rules.compiling.impossible import choices_of, record_with
from vaultwatch.rules.conditions import And, Boolean, Condition, Not, Number, Or, Regex, Text, fields_of, leaves
from vaultwatch.rules.facts import Service
from vaultwatch.rules.predicates import predicate

_MOST_VALUES = 5


def contradictions(condition: Condition, service: Service) -> Iterator[str]:
    """Yield for each `and` that never holds which field contradicts itself.

    Args:
        condition: The condition of a rule.
        service: The log that the rule is for.
    """
    match condition:
        case And():
            parts = list(_flat(condition))
            for field in sorted(frozenset().union(*(fields_of(part) for part in parts))):
                asked = [part for part in parts if fields_of(part) == {field}]
                if has_one_value(field, service) and (reason := _excluded(field, asked, service)):
                    yield reason
            for part in parts:
                yield from contradictions(part, service)
        case Or(parts):
            for part in parts:
                yield from contradictions(part, service)
        case Not(part):
            yield from contradictions(part, service)
        case _:
            pass


def _flat(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, And):
        for part in condition.parts:
            yield from _flat(part)
    else:
        yield condition


def _excluded(field: str, asked: list[Condition], service: Service) -> str:
    """Return why no value passes all of these tests of one field; "" if one may."""
    known = choices_of(field, service)
    named = [values for part in asked if (values := _exact_values(part))]
    if not known:
        asked = [part for part in asked if not any(_sees_case(test) for test in leaves(part))]
    records = [record_with(field, value) for value in known or (named[0] if named else ())]
    records += [{}] if known else []
    tests = [predicate(part) for part in asked]
    may_pass = all(any(map(test, records)) for test in tests)  # one that never passes is an error of its own
    if not records or (known and not may_pass) or any(all(test(record) for test in tests) for record in records):
        return ""
    values = list(dict.fromkeys(str(value) for one in named for value in one))[:_MOST_VALUES]
    listed = f": {', '.join(values)}" if len(values) > 1 else ""
    return f"{field} has one value, and none passes all that the condition asks of it{listed}"


def _exact_values(condition: Condition) -> list[Any]:
    """Return the values of which a field must have one; [] if it may have others."""
    match condition:
        case Text(_, "eq", value) | Number(_, "eq", value) | Boolean(_, value):
            return [value]
        case Or(parts):
            values = [_exact_values(part) for part in parts]
            return [value for one in values for value in one] if all(values) else []
        case _:
            return []


def _sees_case(test: Condition) -> bool:
    return isinstance(test, Regex) or (isinstance(test, Text) and test.cased)
