"""Refuse unsupported constructs of Sigma, by name, before pySigma parses a detection."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import re2
from sigma.exceptions import SigmaError

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.compiling.faults import not_re2
from vaultwatch.rules.predicates import compile_regex

# pySigma checks most shapes itself; what it does not expect raises one of Python's own errors.
SIGMA_FAULTS = (SigmaError, AttributeError, TypeError, ValueError, RecursionError)
_TIME_PARTS = frozenset({"minute", "hour", "day", "week", "month", "year"})
_REFUSED_MODIFIERS = frozenset({"base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash"})


def refuse_unknown_keys(where: str, found: dict[str, Any], known: Collection[str]) -> None:
    """Refuse a rule or filter with a key that neither Sigma nor Vaultwatch knows.

    Raises:
        RuleError: Names the key.
    """
    unknown = sorted(str(key) for key in found if key not in known)
    if unknown:
        raise RuleError(f"{where}: unknown key {unknown[0]}{did_you_mean(unknown[0], known)}")


def refuse_unsupported(definition: Any) -> None:
    """Refuse constructs that make no sense for a Vault record, or that pySigma misreads.

    Raises:
        RuleError: Names the construct.
    """
    if isinstance(definition, dict):
        for key, value in definition.items():
            modifiers = str(key).split("|")[1:]
            for modifier in _REFUSED_MODIFIERS.intersection(modifiers):
                raise RuleError(f"unsupported modifier {modifier}", about=str(key))
            if key == "timeframe":
                raise RuleError("unsupported construct: timeframe", about="timeframe")
            if _TIME_PARTS.intersection(modifiers):
                _refuse_fractions(key, value)
            if "re" in modifiers:
                _refuse_other_regexes(value)
            refuse_unsupported(value)
    elif isinstance(definition, list):
        if not definition:
            raise RuleError("an empty list")  # pySigma takes it for null
        for item in definition:
            refuse_unsupported(item)


def refuse_other_conditions(detection: Any) -> None:
    """Refuse a condition that is no text.

    Raises:
        RuleError: It is one.
    """
    found = detection.get("condition", "") if isinstance(detection, dict) else ""
    if not all(isinstance(one, str) for one in (found if isinstance(found, list) else [found])):
        raise RuleError("the condition is not a text that names selections", about="condition")


def _refuse_fractions(key: str, value: Any) -> None:
    """Refuse fractions, which pySigma cuts off."""
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, float):
            raise RuleError(f"{key}: {number} is not a whole number", about=str(key))


def _refuse_other_regexes(value: Any) -> None:
    """Refuse regexes that RE2 does not accept; pySigma would make RE2 write to stderr."""
    for pattern in value if isinstance(value, list) else [value]:
        try:
            compile_regex(str(pattern))
        except re2.error as error:
            raise not_re2(str(pattern), error) from error
