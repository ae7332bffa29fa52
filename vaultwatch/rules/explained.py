"""Why a rule matches a record or not: its condition with the result of each part, and the values that decided it."""

from __future__ import annotations

from typing import NamedTuple

from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import And, Condition, FieldReference, Given, Keyword, Never, Not, Or
from vaultwatch.rules.predicates import given, predicate, text_of, values

MAX_VALUES = 5


class Found(NamedTuple):
    """The values that a record has in one field.

    Attributes:
        field: The dotted path.
        values: At most `MAX_VALUES`, as text; objects as `{...}`.
        more: How many more there are.
    """

    field: str
    values: tuple[str, ...]
    more: int = 0


class Explained(NamedTuple):
    """A condition and its result for one record.

    Attributes:
        condition: The condition.
        holds: Whether it holds.
        parts: The same for its parts, if it has any.
        found: For a single test, what the record has in its fields.
    """

    condition: Condition
    holds: bool
    parts: tuple[Explained, ...] = ()
    found: tuple[Found, ...] = ()


def explained(condition: Condition, view: View) -> Explained:
    """Return the result of each part of a condition; all parts are evaluated, even if one decides.

    Args:
        condition: The condition.
        view: The record's view.
    """
    match condition:
        case And(parts) | Or(parts):
            results = tuple(explained(part, view) for part in parts)
            joined = all if isinstance(condition, And) else any
            return Explained(condition, joined(part.holds for part in results), results)
        case Not(part):
            inner = explained(part, view)
            return Explained(condition, not inner.holds, (inner,))
        case Never() | Keyword():
            return Explained(condition, predicate(condition)(view))
        case _:
            fields = [condition.field, *([condition.other] if isinstance(condition, FieldReference) else [])]
            found = tuple(found_in(view, field) for field in fields)
            if isinstance(condition, Given) and not found[0].values and given(view, condition.field):
                found = (Found(condition.field, ("",)),)
            return Explained(condition, predicate(condition)(view), found=found)


def found_in(view: View, field: str) -> Found:
    """Return the values that a record has in a field."""
    texts = [text_of(value) for value in values(view, field)]
    shown = tuple("{...}" if text is None else text for text in texts[:MAX_VALUES])
    return Found(field, shown, len(texts) - len(shown))
