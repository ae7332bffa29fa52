"""pySigma's condition tree as plain data (the shapes are in `vaultwatch.rules.conditions`)."""

from __future__ import annotations

from collections.abc import Callable
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
)

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling.placeholders import NEVER
from vaultwatch.rules.conditions import Condition, compile_regex

_PART_RANGES = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "week": (1, 53),
    "month": (1, 12),
    "year": (1, 9999),
}


def translate(node: Any) -> Condition:
    """Turn a postprocessed condition tree into data.

    Raises:
        RuleError: a construct that is not supported, by name.
    """
    if isinstance(node, ConditionAND | ConditionOR):
        kind = "and" if isinstance(node, ConditionAND) else "or"
        parts = [translate(argument) for argument in node.args]
        return parts[0] if len(parts) == 1 else [kind, *parts]
    if isinstance(node, ConditionNOT):
        return ["not", translate(node.args[0])]
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return ["never"] if node.field.startswith(NEVER) else _field_condition(node.field, node.value)
    if isinstance(node, ConditionValueExpression):
        return _keyword_condition(node.value)
    raise RuleError(f"unsupported construct {type(node).__name__}")


def _field_condition(field: str, value: Any) -> Condition:
    for kind, build in _VALUES.items():
        if isinstance(value, kind):
            return build(field, value)
    raise RuleError(f"unsupported value {type(value).__name__} in {field}")


def _text(field: str, value: SigmaString) -> Condition:
    how, text = _shape(value)
    if how == "eq" and text == "":
        return ["exists", field, False]
    cased = isinstance(value, SigmaCasedString)
    return ["text", field, how, text if cased else text.lower(), cased]


def _shape(value: SigmaString) -> tuple[str, str]:
    star = SpecialChars.WILDCARD_MULTI
    parts = list(value.s)
    if any(not isinstance(part, str | SpecialChars) for part in parts):
        raise RuleError(f"unsupported placeholder in '{value}': it lacks the expand modifier")
    texts = [part for part in parts if isinstance(part, str)]
    shape = ["*" if part is star else "?" if isinstance(part, SpecialChars) else "t" for part in parts]
    plain = {"": "eq", "t": "eq", "t*": "prefix", "*t": "suffix", "*t*": "contains"}.get("".join(shape))
    return (plain, "".join(texts)) if plain else ("glob", "".join(_glob_part(part) for part in parts))


def _glob_part(part: Any) -> str:
    if isinstance(part, SpecialChars):
        return "*" if part is SpecialChars.WILDCARD_MULTI else "?"
    return "".join(f"\\{char}" if char in "\\*?" else char for char in part)


def _keyword_condition(value: Any) -> Condition:
    if isinstance(value, SigmaRegularExpression):
        return ["keyword", "re", _pattern(value), True]
    if isinstance(value, SigmaExpansion):
        return ["or", *(_keyword_condition(item) for item in value.values)]
    if isinstance(value, SigmaNumber | SigmaBool):
        return ["keyword", "contains", str(value).lower(), False]
    if not isinstance(value, SigmaString):
        raise RuleError(f"unsupported value {type(value).__name__} without a field")
    cased = isinstance(value, SigmaCasedString)
    how, text = _shape(value)
    how, text = ("contains", text) if how != "glob" else (how, f"*{text}*")
    if not text:
        raise RuleError("an empty keyword")
    return ["keyword", how, text if cased else text.lower(), cased]


def _regex(field: str, value: SigmaRegularExpression) -> Condition:
    return ["re", field, _pattern(value)]


def _pattern(value: SigmaRegularExpression) -> str:
    flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
    pattern = (f"(?{flags})" if flags else "") + str(value.regexp)
    try:
        compile_regex(pattern)
    except re2.error as error:
        raise RuleError(f"regular expression '{value.regexp}' is not RE2's: {error}") from error
    return pattern


def _comparison(field: str, value: SigmaCompareExpression) -> Condition:
    op = value.op.name.lower()
    if isinstance(value.number, SigmaTimestampPart):
        return _time_part(field, value.number, op)
    return ["number", field, op, value.number.number]


def _time_part(field: str, value: SigmaTimestampPart, op: str = "eq") -> Condition:
    unit = value.timestamp_part.name.lower()
    low, high = _PART_RANGES[unit]
    if not low <= value.number <= high:
        raise RuleError(f"{field}|{unit}: {value.number} is outside {low} to {high}")
    return ["part", field, unit, op, value.number]


def _reference(field: str, value: SigmaFieldReference) -> Condition:
    how = {(False, False): "eq", (True, False): "prefix", (False, True): "suffix", (True, True): "contains"}
    return ["field", field, value.field, how[value.starts_with, value.ends_with]]


# Subclasses before the types they derive from.
_VALUES: dict[type, Callable[[str, Any], Condition]] = {
    SigmaString: _text,
    SigmaTimestampPart: _time_part,
    SigmaNumber: lambda field, value: ["number", field, "eq", value.number],
    SigmaBool: lambda field, value: ["bool", field, value.boolean],
    SigmaNull: lambda field, _: ["exists", field, False],
    SigmaExists: lambda field, value: ["exists", field, value.exists],
    SigmaRegularExpression: _regex,
    SigmaCIDRExpression: lambda field, value: ["cidr", field, str(value.cidr)],
    SigmaCompareExpression: _comparison,
    SigmaFieldReference: _reference,
    SigmaExpansion: lambda field, value: ["or", *(_field_condition(field, item) for item in value.values)],
}
