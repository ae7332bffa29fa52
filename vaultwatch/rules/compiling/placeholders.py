"""`|expand`: fill in values that differ per deployment, before pySigma parses a detection.

pySigma's own expansion refuses numbers and networks, turns an empty list into "is null", and treats `*` in a value as
a wildcard. Here every character of a value is literal, and a condition on an empty placeholder is never true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import re2

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.pack import shipped_rules

NEVER = "__never__"
Placeholders = Mapping[str, list[Any]]
_NAME = re.compile(r"%([A-Za-z_][\w-]*)%")


def fill(definition: Any, placeholders: Placeholders) -> Any:
    """Fill the placeholders of a detection.

    Raises:
        RuleError: No placeholders.yaml defines a placeholder.
    """
    if isinstance(definition, dict):
        filled: dict[Any, Any] = {}
        for key, value in definition.items():
            if isinstance(key, str) and "expand" in key.split("|")[1:]:
                new_key, new_value = _fill_item(key, value, placeholders)
                filled[new_key] = new_value
            else:
                filled[key] = fill(value, placeholders) if isinstance(value, dict | list) else value
        return filled
    if isinstance(definition, list):
        return [fill(item, placeholders) if isinstance(item, dict | list) else item for item in definition]
    return definition


def used(definition: Any, placeholders: Placeholders) -> dict[str, list[Any]]:
    """Return the placeholders that a detection uses, by name, with their values."""
    found: dict[str, list[Any]] = {}
    waiting = [definition]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if isinstance(key, str) and "expand" in key.split("|")[1:]:
                    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
                    found |= {name: placeholders[name] for text in texts for name in _NAME.findall(text)}
                waiting.append(value)
        elif isinstance(item, list):
            waiting += item
    return dict(sorted(found.items()))


def _fill_item(key: str, value: Any, placeholders: Placeholders) -> tuple[str, Any]:
    field, *modifiers = key.split("|")
    kept = [modifier for modifier in modifiers if modifier != "expand"]
    filled: list[Any] = []
    for item in value if isinstance(value, list) else [value]:
        values = _fill_value(item, kept, placeholders)
        if not values and "all" in kept:
            return NEVER, "all"
        filled += values
    return ("|".join([field, *kept]), filled) if filled else (f"{NEVER}{field}", "empty")


def _fill_value(item: Any, modifiers: list[str], placeholders: Placeholders) -> list[Any]:
    names = dict.fromkeys(_NAME.findall(item)) if isinstance(item, str) else {}
    if not names:
        return [item]
    for name in names:
        if name not in placeholders:
            hint = did_you_mean(name, placeholders)
            if any(name in rule.compiled.placeholders for rule in shipped_rules()):
                hint = ": the one of the shipped rules does, so name `shipped` before the folder"
            raise RuleError(f"unknown placeholder %{name}%: no placeholders.yaml defines it{hint}", about=f"%{name}%")
    if item == f"%{next(iter(names))}%" and "re" not in modifiers:
        return [literal(value) for value in placeholders[next(iter(names))]]
    texts = [item]
    for name in names:
        texts = [
            text.replace(f"%{name}%", re2.escape(str(value)) if "re" in modifiers else str(literal(str(value))))
            for text in texts
            for value in placeholders[name]
        ]
    return texts


def literal(value: Any) -> Any:
    """Return a value as Sigma writes it without wildcards."""
    if not isinstance(value, str):
        return value
    return value.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
