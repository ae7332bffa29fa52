"""Translate pySigma's condition tree to conditions (`vaultwatch.rules.conditions`)."""

from __future__ import annotations

from typing import Any

import re2
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
    TimestampPart,
)

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling.faults import not_re2
from vaultwatch.rules.compiling.placeholders import NEVER
from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldHow,
    FieldReference,
    Given,
    Keyword,
    Never,
    Not,
    Number,
    Operator,
    Or,
    Regex,
    Text,
    TextHow,
    TimePart,
    TimeUnit,
)
from vaultwatch.rules.predicates import compile_regex

_DATA = "request.data."
"""What a client gives in a request, of which the server may take null or an empty list for a value."""
_WILDCARDS = {SpecialChars.WILDCARD_MULTI: "*", SpecialChars.WILDCARD_SINGLE: "?"}
_PLAIN_SHAPES: dict[str, TextHow] = {"": "eq", "t": "eq", "t*": "prefix", "*t": "suffix", "*t*": "contains"}
_REFERENCES: dict[tuple[bool, bool], FieldHow] = {
    (False, False): "eq",
    (True, False): "prefix",
    (False, True): "suffix",
    (True, True): "contains",
}
_OPERATORS: dict[CompareOperators, Operator] = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_TIME_PARTS: dict[TimestampPart, tuple[TimeUnit, int, int]] = {
    TimestampPart.MINUTE: ("minute", 0, 59),
    TimestampPart.HOUR: ("hour", 0, 23),
    TimestampPart.DAY: ("day", 1, 31),
    TimestampPart.WEEK: ("week", 1, 53),
    TimestampPart.MONTH: ("month", 1, 12),
    TimestampPart.YEAR: ("year", 1, 9999),
}


def translate(node: Any) -> Condition:
    """Translate a postprocessed condition tree.

    Raises:
        RuleError: Names a construct that is not supported.
    """
    match node:
        case ConditionAND() | ConditionOR():
            parts = tuple(translate(argument) for argument in node.args)
            return parts[0] if len(parts) == 1 else And(parts) if isinstance(node, ConditionAND) else Or(parts)
        case ConditionNOT():
            return Not(translate(node.args[0]))
        case ConditionFieldEqualsValueExpression():
            return Never() if node.field.startswith(NEVER) else _test(node.field, node.value)
        case ConditionValueExpression():
            return _keyword(node.value)
    raise RuleError(f"unsupported construct {type(node).__name__}")


def _test(field: str, value: Any) -> Condition:
    match value:
        case SigmaString():
            return _text(field, value)
        case SigmaTimestampPart():  # a SigmaNumber too
            return _time_part(field, value, "eq")
        case SigmaNumber():
            return Number(field, "eq", value.number)
        case SigmaBool():
            return Boolean(field, value.boolean)
        case SigmaNull():
            return Exists(field, False)
        case _:
            return _modified(field, value)


def _modified(field: str, value: Any) -> Condition:
    """Translate a value that a modifier has changed."""
    match value:
        case SigmaExists():
            return (Given if field.startswith(_DATA) else Exists)(field, value.exists)
        case SigmaRegularExpression():
            return Regex(field, _pattern(value))
        case SigmaCIDRExpression():
            return Cidr(field, str(value.cidr))
        case SigmaCompareExpression():
            return _comparison(field, value)
        case SigmaFieldReference():
            return FieldReference(field, value.field, _REFERENCES[value.starts_with, value.ends_with])
        case SigmaExpansion():
            return Or(tuple(_test(field, item) for item in value.values))
    raise RuleError(f"unsupported value {type(value).__name__} in {field}")


def _text(field: str, value: SigmaString) -> Condition:
    how, text = _shape(value)
    if how == "eq" and text == "":
        return Exists(field, False)
    cased = isinstance(value, SigmaCasedString)
    return Text(field, how, text if cased else text.lower(), cased)


def _shape(value: SigmaString) -> tuple[TextHow, str]:
    """Return how a value is matched: a single wildcard at an end needs no glob."""
    parts = list(value.s)
    if any(not isinstance(part, str | SpecialChars) for part in parts):
        raise RuleError(f"unsupported placeholder in '{value}': it lacks the expand modifier")
    shape = "".join(_WILDCARDS[part] if isinstance(part, SpecialChars) else "t" for part in parts)
    if shape in _PLAIN_SHAPES:
        return _PLAIN_SHAPES[shape], "".join(part for part in parts if isinstance(part, str))
    return "glob", "".join(_glob_part(part) for part in parts)


def _glob_part(part: Any) -> str:
    if isinstance(part, SpecialChars):
        return _WILDCARDS[part]
    return "".join(f"\\{char}" if char in "\\*?" else char for char in part)


def _keyword(value: Any) -> Condition:
    match value:
        case SigmaRegularExpression():
            return Keyword("re", _pattern(value), cased=True)
        case SigmaExpansion():
            return Or(tuple(_keyword(item) for item in value.values))
        case SigmaNumber() | SigmaBool():
            return Keyword("contains", str(value).lower())
        case SigmaString():
            return _text_keyword(value)
    raise RuleError(f"unsupported value {type(value).__name__} without a field")


def _text_keyword(value: SigmaString) -> Keyword:
    cased = isinstance(value, SigmaCasedString)
    how, text = _shape(value)
    if not text:
        raise RuleError("an empty keyword")
    text = text if cased else text.lower()
    return Keyword("glob", f"*{text}*", cased) if how == "glob" else Keyword("contains", text, cased)


def _pattern(value: SigmaRegularExpression) -> str:
    flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
    pattern = (f"(?{flags})" if flags else "") + str(value.regexp)
    try:
        compile_regex(pattern)
    except re2.error as error:
        raise not_re2(str(value.regexp), error) from error
    return pattern


def _comparison(field: str, value: SigmaCompareExpression) -> Condition:
    op = _OPERATORS[value.op]
    if isinstance(value.number, SigmaTimestampPart):
        return _time_part(field, value.number, op)
    return Number(field, op, value.number.number)


def _time_part(field: str, value: SigmaTimestampPart, op: Operator) -> TimePart:
    unit, low, high = _TIME_PARTS[value.timestamp_part]
    if not low <= value.number <= high:
        raise RuleError(f"{field}|{unit}: {value.number} is outside {low} to {high}", about=f"{field}|{unit}")
    return TimePart(field, unit, op, int(value.number))
