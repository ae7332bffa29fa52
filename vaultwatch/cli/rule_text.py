"""A compiled condition, written so that a person can read it: what is in force, with placeholders and filters.

A map means that all of it holds, a list of values that one of them does, as in Sigma. What Sigma needs several
selections for is told as `all of`, `any of` and `not`.
"""

from __future__ import annotations

from typing import Any

from vaultwatch.rules.conditions import Condition

_HOW = {"eq": "", "glob": "", "prefix": "|startswith", "suffix": "|endswith", "contains": "|contains", "re": "|re"}


def readable(condition: Condition) -> str:
    """The condition as YAML of several lines."""
    told = _told(condition)
    return told if isinstance(told, str) else as_yaml(told)


def as_yaml(value: Any, *, lists_in_line: bool = False) -> str:
    """YAML for people, in ASCII, its keys in the order given."""
    import yaml

    class Indented(yaml.SafeDumper):
        """Lists stand further in than their keys."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  PyYAML's
            super().increase_indent(flow, False)

    style = None if lists_in_line else False
    return yaml.dump(value, Dumper=Indented, sort_keys=False, width=110, default_flow_style=style)


def _told(condition: Condition) -> Any:
    kind, *rest = condition
    if kind == "never":
        return "never"
    if kind == "not":
        return {"not": _told(rest[0])}
    if kind == "and":
        return _all_of(rest)
    if kind == "or":
        return _any_of(rest)
    key, value = _leaf(condition)
    return {key: value}


def _all_of(parts: list[Condition]) -> Any:
    """One map as far as keys allow it."""
    maps: list[Any] = []
    for told in map(_told, parts):
        inner = told.get("all of", [told]) if isinstance(told, dict) else [told]
        for one in inner:
            if maps and _is_plain(one) and _is_plain(maps[-1]) and not one.keys() & maps[-1].keys():
                maps[-1] = {**maps[-1], **one}
            else:
                maps.append(one)
    return maps[0] if len(maps) == 1 else {"all of": maps}


def _any_of(parts: list[Condition]) -> Any:
    """One key with several values as far as the parts have the same."""
    maps: list[Any] = []
    for told in map(_told, parts):
        inner = told.get("any of", [told]) if isinstance(told, dict) else [told]
        for one in inner:
            if maps and _is_single(one) and _is_single(maps[-1]) and one.keys() == maps[-1].keys():
                ((key, value),) = one.items()
                maps[-1] = {key: [*_listed(maps[-1][key]), *_listed(value)]}
            else:
                maps.append(one)
    return maps[0] if len(maps) == 1 else {"any of": maps}


def _is_plain(told: Any) -> bool:
    return isinstance(told, dict) and not told.keys() & {"all of", "any of", "not"}


def _is_single(told: Any) -> bool:
    return _is_plain(told) and len(told) == 1


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _leaf(condition: Condition) -> tuple[str, Any]:
    kind, *rest = condition
    if kind in ("text", "keyword"):
        field, how, value, cased = rest if kind == "text" else ("(any field)", *rest)
        plain = how in ("glob", "re")
        return f"{field}{_HOW[how]}{'|cased' if cased and how != 're' else ''}", value if plain else _escaped(value)
    if kind == "number":
        field, op, value = rest
        return field if op == "eq" else f"{field}|{op}", value
    if kind == "part":
        field, unit, op, value = rest
        return f"{field}|{unit}" if op == "eq" else f"{field}|{unit}|{op}", value
    if kind == "field":
        field, other, how = rest
        return f"{field}|fieldref{_HOW[how]}", other
    field, value = rest  # re, cidr, exists, bool
    return field if kind == "bool" else f"{field}|{kind}", value


def _escaped(text: str) -> str:
    """A text that stands for itself, as Sigma writes it."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
