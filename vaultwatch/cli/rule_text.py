"""Write a compiled condition as text for people, with its placeholders and filters applied.

As in Sigma, all items of a map must hold, and one of the values of a list. Where Sigma needs several selections, the
text has `all of`, `any of` and `not`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldReference,
    FieldTest,
    Given,
    Keyword,
    KeywordHow,
    Never,
    Not,
    Number,
    Operator,
    Or,
    Regex,
    Text,
    TextHow,
    TimePart,
)

_MODIFIERS: dict[TextHow | KeywordHow, str] = {
    "eq": "",
    "glob": "",
    "prefix": "|startswith",
    "suffix": "|endswith",
    "contains": "|contains",
    "re": "|re",
}


def readable(condition: Condition) -> str:
    """Return the condition as YAML, in several lines."""
    written = _written(condition)
    return written if isinstance(written, str) else as_yaml(written)


def in_one_line(condition: Condition) -> str | None:
    """Return a condition on the values of one key as `KEY: VALUE`; None if it is more than that."""
    written = _written(condition)
    if isinstance(written, str):
        return written
    if not _is_single(written):
        return None
    ((key, value),) = written.items()
    return f"{key}: {' or '.join(map(_scalar, _listed(value)))}"


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_yaml(value: Any, *, lists_in_line: bool = False) -> str:
    """Return a value as YAML for people: in ASCII, with its keys in the order given."""
    import yaml

    class Indented(yaml.SafeDumper):
        """Indents lists below their keys."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  PyYAML's
            super().increase_indent(flow, False)

    style = None if lists_in_line else False
    return yaml.dump(value, Dumper=Indented, sort_keys=False, width=110, default_flow_style=style)


def _written(condition: Condition) -> Any:
    match condition:
        case Never():
            return "never"
        case Not(part):
            return {"not": _written(part)}
        case And(parts):
            return _all_of(parts)
        case Or(parts):
            return _any_of(parts)
        case Keyword(how, value, cased):
            return {_text_key("(any field)", how, cased): _text_value(how, value)}
        case _:
            key, value = _item(condition)
            return {key: value}


def _all_of(parts: Sequence[Condition]) -> Any:
    """Merge parts into one map, unless they share a key."""
    maps: list[Any] = []
    for written in map(_written, parts):
        inner = written.get("all of", [written]) if isinstance(written, dict) else [written]
        for one in inner:
            if maps and _is_plain(one) and _is_plain(maps[-1]) and not one.keys() & maps[-1].keys():
                maps[-1] = {**maps[-1], **one}
            else:
                maps.append(one)
    return maps[0] if len(maps) == 1 else {"all of": maps}


def _any_of(parts: Sequence[Condition]) -> Any:
    """Merge parts that have the same key into one key with several values."""
    maps: list[Any] = []
    for written in map(_written, parts):
        inner = written.get("any of", [written]) if isinstance(written, dict) else [written]
        for one in inner:
            if maps and _is_single(one) and _is_single(maps[-1]) and one.keys() == maps[-1].keys():
                ((key, value),) = one.items()
                maps[-1] = {key: [*_listed(maps[-1][key]), *_listed(value)]}
            else:
                maps.append(one)
    return maps[0] if len(maps) == 1 else {"any of": maps}


def _is_plain(written: Any) -> bool:
    return isinstance(written, dict) and not written.keys() & {"all of", "any of", "not"}


def _is_single(written: Any) -> bool:
    return _is_plain(written) and len(written) == 1


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _item(test: FieldTest) -> tuple[str, Any]:
    """Return a test as one key and value of a Sigma selection."""
    match test:
        case Text(field, how, value, cased):
            return _text_key(field, how, cased), _text_value(how, value)
        case Number(field, op, number):
            return f"{field}{_operator(op)}", number
        case TimePart(field, unit, op, number):
            return f"{field}|{unit}{_operator(op)}", number
        case FieldReference(field, other, how):
            return f"{field}|fieldref{_MODIFIERS[how]}", other
        case Regex(field, pattern):
            return f"{field}|re", pattern
        case Cidr(field, network):
            return f"{field}|cidr", network
        case Exists(field, wanted) | Given(field, wanted):
            return f"{field}|exists", wanted
        case Boolean(field, wanted):
            return field, wanted


def _operator(op: Operator) -> str:
    return "" if op == "eq" else f"|{op}"


def _text_key(field: str, how: TextHow | KeywordHow, cased: bool) -> str:
    return f"{field}{_MODIFIERS[how]}{'|cased' if cased and how != 're' else ''}"


def _text_value(how: TextHow | KeywordHow, value: str) -> str:
    """Return a value as Sigma writes it: a literal `*` or `?` is escaped."""
    if how in ("glob", "re"):
        return value
    return value.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
