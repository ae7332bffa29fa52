"""Turn conditions into functions of a record's view, once per rule."""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import re2

from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.lenient import integer
from vaultwatch.reading.view import View
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
    TimeUnit,
)

Predicate: TypeAlias = Callable[[View], bool]
TextTest: TypeAlias = Callable[[str], bool]

_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_TIME_PARTS: dict[TimeUnit, Callable[[datetime], int]] = {
    "minute": lambda moment: moment.minute,
    "hour": lambda moment: moment.hour,
    "day": lambda moment: moment.day,
    "week": lambda moment: moment.isocalendar().week,
    "month": lambda moment: moment.month,
    "year": lambda moment: moment.year,
}
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NAMES_MEMBERS = frozenset({"repeated_members"})
"""What has names of members, which are no texts of the record, and which keywords do not find."""


def predicate(condition: Condition) -> Predicate:
    """Return a function that returns whether a condition holds for a record's view."""
    match condition:
        case And(parts):
            return _all_of([predicate(part) for part in parts])
        case Or():
            return _any_of(list(_alternatives(condition)))
        case Not(part):
            return _none_of(predicate(part))
        case Never():
            return lambda view: False
        case Keyword(how, value, cased):
            return _any_text_of_the_record(text_test(how, value, cased))
        case _:
            return _field_test(condition)


def _field_test(test: FieldTest) -> Predicate:
    match test:
        case Text(field, how, value, cased):
            return _any_text(field, text_test(how, value, cased))
        case Regex(field, pattern):
            return _any_text(field, _exact_case_test("re", pattern))
        case Boolean(field, wanted):
            return _any_text(field, text_test("eq", "true" if wanted else "false", cased=False))
        case Cidr(field, network):
            return _any_text(field, _address_test(network))
        case Exists(field, wanted):
            return lambda view: bool(values(view, field)) is wanted
        case Given(field, wanted):
            return lambda view: bool(given(view, field)) is wanted
        case Number(field, op, value):
            return _any_value(field, _number_test(op, value))
        case TimePart(field, unit, op, value):
            return _any_value(field, _time_test(unit, op, value))
        case FieldReference(field, other, how):
            return _reference(field, other, how)


def values(view: View, field: str) -> list[Any]:
    """Return the values of a record at a dotted path: scalars and objects, without null and "", lists flattened."""
    parts = field.split(".")
    item: Any = view
    for part in parts:
        if type(item) is not dict:
            break
        item = item.get(part)
    else:
        if type(item) is not list:
            return [] if item is None or item == "" else [item]
    return _values_in_lists(view, parts)


def given(view: View, field: str) -> list[Any]:
    """Return what a record has at a dotted path, as it is: null, "" and lists too."""
    *above, last = field.split(".")
    objects = _values_in_lists(view, above)
    return [item[last] for item in objects if isinstance(item, dict) and last in item]


def _values_in_lists(view: View, parts: Iterable[str]) -> list[Any]:
    found: list[Any] = [view]
    for part in parts:
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
    """Return a scalar as text to compare, with booleans as JSON writes them; None for an object."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def listed(texts: Iterable[str]) -> str:
    """Return texts as one, for each list of them another one: one that reads like several is in quotation marks."""
    return ", ".join([_marked(text) if ", " in text or text.startswith('"') else text for text in texts])


def _marked(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def text_test(how: TextHow | KeywordHow, value: str, cased: bool) -> TextTest:
    """Return a test of one text; unless `cased`, `value` is in lower case."""
    if not cased and how == "eq":  # most tests are of this kind: it takes half of the time of two calls
        return lambda text: text.lower() == value
    test = _exact_case_test(how, value)
    return test if cased else lambda text: test(text.lower())


def _exact_case_test(how: TextHow | KeywordHow, value: str) -> TextTest:
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
    if (literals := _between_stars(value)) is not None:
        return _in_order(literals)
    matches = compile_regex(glob_regex(value)).fullmatch
    return lambda text: matches(text) is not None


def _between_stars(glob: str) -> list[str] | None:
    """Return the literals between the `*` of a glob, at least two; None if it is not made of these alone."""
    literals = glob.split("*")
    return literals if len(literals) > 1 and "?" not in glob and "\\" not in glob else None


def _in_order(literals: Sequence[str]) -> TextTest:
    """Return a test for literals that follow each other, the first at the start and the last at the end of a text.

    It is linear, since the first place of each is the best, and takes a tenth of the time of RE2 on a path.
    """
    first, *others, last = literals
    least, start, last_length = len(first) + len(last), len(first), len(last)

    def are_in(text: str) -> bool:
        if len(text) < least or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = start, len(text) - last_length
        for literal in others:
            at = text.find(literal, at, end)
            if at < 0:
                return False
            at += len(literal)
        return True

    return are_in


def glob_regex(value: str) -> str:
    r"""Translate a Sigma value with `*` and `?` to RE2; `\*`, `\?` and `\\` are the characters themselves."""
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
    """Compile a pattern with RE2, without RE2's own error output on stderr.

    Raises:
        re2.error: RE2 does not accept the pattern.
    """
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _all_of(parts: list[Predicate]) -> Predicate:
    def holds(view: View) -> bool:
        for part in parts:  # noqa: SIM110  a generator would take twice as long, here and below
            if not part(view):
                return False
        return True

    return holds


def _alternatives(condition: Condition) -> Iterator[Condition]:
    """Yield the parts of an `or`, and of those inside it."""
    if not isinstance(condition, Or):
        yield condition
        return
    for part in condition.parts:
        yield from _alternatives(part)


def _any_of(conditions: list[Condition]) -> Predicate:
    """Return whether one of the conditions holds; all texts of one field are compared at once."""
    texts: dict[tuple[str, bool], list[Text]] = {}
    parts: list[Predicate] = []
    for one in conditions:
        if isinstance(one, Text):
            texts.setdefault((one.field, one.cased), []).append(one)
        else:
            parts.append(predicate(one))
    parts = [_any_text(field, _one_of_texts(tests, cased)) for (field, cased), tests in texts.items()] + parts

    def holds(view: View) -> bool:
        for part in parts:  # noqa: SIM110
            if part(view):
                return True
        return False

    return parts[0] if len(parts) == 1 else holds


def _one_of_texts(tests: list[Text], cased: bool) -> TextTest:
    whole = frozenset(test.value for test in tests if test.how == "eq")
    starts = tuple(test.value for test in tests if test.how == "prefix")
    ends = tuple(test.value for test in tests if test.how == "suffix")
    others = [_exact_case_test(test.how, test.value) for test in tests if test.how in ("contains", "glob")]

    def passes(text: str) -> bool:
        text = text if cased else text.lower()
        if text in whole or text.startswith(starts) or text.endswith(ends):
            return True
        for test in others:  # noqa: SIM110
            if test(text):
                return True
        return False

    return passes


def _none_of(part: Predicate) -> Predicate:
    return lambda view: not part(view)


def _any_value(field: str, test: Callable[[Any], bool]) -> Predicate:
    return lambda view: any(test(value) for value in values(view, field))


def _any_text(field: str, test: TextTest) -> Predicate:
    *above, last = field.split(".")

    def holds(view: View) -> bool:
        item: Any = view
        for part in above:
            item = item.get(part)
            if type(item) is not dict:
                return type(item) is list and any(test(text) for text in _texts(view, field))
        value = item.get(last)
        if type(value) is str:  # as nearly all are
            return value != "" and test(value)
        return value is not None and any(test(text) for text in _texts(view, field))

    return holds


def _texts(view: View, field: str) -> Iterator[str]:
    return (text for value in values(view, field) if (text := text_of(value)) is not None)


def _any_text_of_the_record(test: TextTest) -> Predicate:
    return lambda view: any(
        test(text) for name, value in view.items() if name not in _NAMES_MEMBERS for text in all_texts(value)
    )


def all_texts(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, scalars as text, however nested."""
    if isinstance(value, dict):
        for item in value.values():
            yield from all_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from all_texts(item)
    elif (text := text_of(value)) is not None:
        yield text


def _address_test(network: str) -> TextTest:
    parsed = ipaddress.ip_network(network, strict=False)

    def within(text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return address in parsed

    return within


def _number_test(op: Operator, number: int | float) -> Callable[[Any], bool]:
    """Compare numbers by value; a text equals an integer only if it is written the same way: `05` is not 5."""
    compare, written = _COMPARE[op], str(number)
    is_exact = op == "eq" and isinstance(number, int)

    def test(value: Any) -> bool:
        if is_exact and isinstance(value, str):
            return value == written
        found = _number_of(value)
        return found is not None and compare(found, number)

    return test


def _number_of(value: Any) -> int | float | None:
    """Return a number, or the one that a text contains in decimal, else None; integers keep all of their digits."""
    if isinstance(value, str):
        found = _DECIMAL.fullmatch(value)
        if found is None:
            return None
        return integer(value) if found.lastindex is None else float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _time_test(unit: TimeUnit, op: Operator, number: int) -> Callable[[Any], bool]:
    part, compare = _TIME_PARTS[unit], _COMPARE[op]

    def test(value: Any) -> bool:
        moment = parse_time(value)
        return moment is not None and compare(part(moment.astimezone(UTC)), number)

    return test


def _reference(field: str, other: str, how: TextHow) -> Predicate:
    def matches(view: View) -> bool:
        texts = [text.lower() for text in _texts(view, field)]
        tests = [_exact_case_test(how, text.lower()) for text in _texts(view, other)]
        return any(test(text) for test in tests for text in texts)

    return matches
