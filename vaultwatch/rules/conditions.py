"""A compiled condition: plain data that travels as JSON, and the predicate that it becomes.

    ["and", c, ...]  ["or", c, ...]  ["not", c]  ["never"]
    ["text", field, how, value, cased]    how: eq, prefix, suffix, contains, glob; not cased: value is in lower case
    ["keyword", how, value, cased]        the same over every text of the record; how may also be re
    ["re", field, pattern]                RE2, searched; flags stand in the pattern
    ["cidr", field, network]
    ["exists", field, true|false]         null and "" count as absent
    ["number", field, op, number]         op: eq, lt, lte, gt, gte
    ["bool", field, true|false]
    ["part", field, unit, op, number]     unit: minute, hour, day, week, month, year of a time, in UTC
    ["field", field, other, how]          how: eq, prefix, suffix, contains

A field is a dotted path; a list on the way matches if any of its elements does.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import re2

from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.view import View

Condition = list[Any]
Predicate = Callable[[View], bool]
TextTest = Callable[[str], bool]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
TIME_PARTS: dict[str, Callable[[datetime], int]] = {
    "minute": lambda moment: moment.minute,
    "hour": lambda moment: moment.hour,
    "day": lambda moment: moment.day,
    "week": lambda moment: moment.isocalendar().week,
    "month": lambda moment: moment.month,
    "year": lambda moment: moment.year,
}


def predicate(condition: Condition) -> Predicate:
    """Turn a compiled condition into a function of a record's view."""
    return _BUILDERS[condition[0]](*condition[1:])


def values(view: View, field: str) -> list[Any]:
    """What stands at a dotted path: scalars and objects, lists taken apart, null and "" left out."""
    found: list[Any] = [view]
    for part in field.split("."):
        found = [item[part] for item in found if isinstance(item, dict) and part in item]
        if any(type(item) is list for item in found):
            found = [leaf for item in found for leaf in _flat(item)]
    return [item for item in found if item is not None and item != ""]


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _flat(item)


def text_of(value: Any) -> str | None:
    """A scalar as text to compare: booleans as JSON writes them; None for an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def text_test(how: str, value: str, cased: bool) -> TextTest:
    """A test of one text; where it is not cased, `value` is in lower case already."""
    test = _exact_case_test(how, value)
    return test if cased else lambda text: test(text.lower())


def _exact_case_test(how: str, value: str) -> TextTest:
    if how == "eq":
        return lambda text: text == value
    if how == "prefix":
        return lambda text: text.startswith(value)
    if how == "suffix":
        return lambda text: text.endswith(value)
    if how == "contains":
        return lambda text: value in text
    if how == "re":
        search = compile_regex(value).search
        return lambda text: search(text) is not None
    matches = compile_regex(glob_regex(value)).fullmatch
    return lambda text: matches(text) is not None


def glob_regex(value: str) -> str:
    r"""A Sigma value with `*` and `?` as RE2; `\*`, `\?` and `\\` stand for the characters themselves."""
    out, at = ["(?s)"], 0
    while at < len(value):
        char = value[at]
        if char == "\\" and value[at + 1 : at + 2] in ("*", "?", "\\"):
            at += 1
            char = value[at]
            out.append(re2.escape(char))
        else:
            out.append({"*": ".*", "?": "."}.get(char) or re2.escape(char))
        at += 1
    return "".join(out)


def compile_regex(pattern: str) -> Any:
    """Compile for RE2, quietly: it logs every fault to stderr by itself otherwise."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _and(*conditions: Condition) -> Predicate:
    parts = [predicate(condition) for condition in conditions]
    return lambda view: all(part(view) for part in parts)


def _or(*conditions: Condition) -> Predicate:
    parts = [predicate(condition) for condition in conditions]
    return lambda view: any(part(view) for part in parts)


def _not(condition: Condition) -> Predicate:
    part = predicate(condition)
    return lambda view: not part(view)


def _never() -> Predicate:
    return lambda view: False


def _over_texts(field: str, test: TextTest) -> Predicate:
    def matches(view: View) -> bool:
        texts = (text_of(value) for value in values(view, field))
        return any(test(text) for text in texts if text is not None)

    return matches


def _text(field: str, how: str, value: str, cased: bool) -> Predicate:
    return _over_texts(field, text_test(how, value, cased))


def _keyword(how: str, value: str, cased: bool) -> Predicate:
    test = text_test(how, value, cased)
    return lambda view: any(test(text) for text in _all_texts(view))


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _all_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _all_texts(item)
    elif (text := text_of(value)) is not None:
        yield text


def _re(field: str, pattern: str) -> Predicate:
    search = compile_regex(pattern).search
    return _over_texts(field, lambda text: search(text) is not None)


def _cidr(field: str, network: str) -> Predicate:
    parsed = ipaddress.ip_network(network, strict=False)

    def within(text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return address in parsed

    return _over_texts(field, within)


def _exists(field: str, wanted: bool) -> Predicate:
    return lambda view: bool(values(view, field)) is wanted


def _number_of(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _number(field: str, op: str, number: float) -> Predicate:
    compare = COMPARE[op]

    def matches(view: View) -> bool:
        found = (_number_of(value) for value in values(view, field))
        return any(compare(value, number) for value in found if value is not None)

    return matches


def _bool(field: str, wanted: bool) -> Predicate:
    return _text(field, "eq", "true" if wanted else "false", False)


def _part(field: str, unit: str, op: str, number: int) -> Predicate:
    part, compare = TIME_PARTS[unit], COMPARE[op]

    def matches(view: View) -> bool:
        moments = (parse_time(value) for value in values(view, field))
        return any(compare(part(moment.astimezone(UTC)), number) for moment in moments if moment)

    return matches


def _field(field: str, other: str, how: str) -> Predicate:
    def matches(view: View) -> bool:
        mine = [text.lower() for value in values(view, field) if (text := text_of(value)) is not None]
        theirs = [text.lower() for value in values(view, other) if (text := text_of(value)) is not None]
        return any(_exact_case_test(how, value)(text) for value in theirs for text in mine)

    return matches


_BUILDERS: dict[str, Callable[..., Predicate]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "never": _never,
    "text": _text,
    "keyword": _keyword,
    "re": _re,
    "cidr": _cidr,
    "exists": _exists,
    "number": _number,
    "bool": _bool,
    "part": _part,
    "field": _field,
}
