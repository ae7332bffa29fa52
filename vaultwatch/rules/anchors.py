"""Anchors: texts that a record must contain to match a rule, from which the indexes are built.

They are necessary, not sufficient: an index built on them may name too many rules, but never too few. All anchors on
one field are looked up at once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import re2

from vaultwatch.reading.view import AUDIT_DERIVED, logged_types
from vaultwatch.rules.conditions import And, Boolean, Condition, Exists, Never, Or, Text, TextHow
from vaultwatch.rules.predicates import glob_regex

MATCHER_MEMORY_BYTES = 256 * 1024 * 1024
MAX_ALTERNATIVES = 32
"""Of one rule; with more, each is reduced to its most selective field."""


class Anchor(NamedTuple):
    """`value`, in lower case, must occur in `field`: as a whole, at its start, at its end, anywhere, or as a glob.

    If it must be the whole and is empty, the field must be absent or empty.
    """

    field: str
    how: TextHow
    value: str


Alternative: TypeAlias = Mapping[str, tuple[Anchor, ...]]
"""What a record must contain: in each of these fields, one of these texts. An empty one says nothing."""
AnchorsOf: TypeAlias = Callable[[Text], Sequence[Anchor]]

# How selective an anchor is, best first: by its field, then by how it is matched.
_FIELD_WORTH = ("request.path", "request.namespace.path", "auth.policies")
_WEAK = frozenset(
    {"type", "request.mount_type", "request.mount_point", "auth.token_type", "request.operation", "level"}
)
_HOW_WORTH: tuple[TextHow, ...] = ("eq", "prefix", "suffix", "contains", "glob")
_NEVER_ANCHORS = AUDIT_DERIVED | {"auth", "request", "response", "request.namespace", "request.id"}
_SERVER_TEXTS = frozenset({"message", "module", "raw"})
_LINE = "line"
_OF_A_NUMBER = re.compile(r"[-+.\d einfatrulsE]*")
"""Texts that may occur in a number or boolean as text, which JSON may write in another way."""


def alternatives_of(condition: Condition, anchors_of: AnchorsOf) -> list[Alternative]:
    """Return alternatives of which one applies to every record for which the condition holds; none if it never does.

    Args:
        condition: The condition of a rule.
        anchors_of: Returns the anchors on one field of which a test implies one; none if it implies nothing.
    """
    match condition:
        case Never():
            return []
        case Text():
            anchors = tuple(anchors_of(condition))
            return [{anchors[0].field: anchors} if anchors else {}]
        case Or(parts):
            return _any_of([one for part in parts for one in alternatives_of(part, anchors_of)])
        case And(parts):
            return _all_of([alternatives_of(part, anchors_of) for part in parts])
        case _:
            return [{}]


def _any_of(alternatives: list[Alternative]) -> list[Alternative]:
    """Return one alternative for each field that is alone in some, and the others as they are."""
    if not all(alternatives):
        return [{}]
    if len(alternatives) > MAX_ALTERNATIVES:
        merged = _merged(alternatives)
        return merged if len(merged) <= MAX_ALTERNATIVES else _merged([most_selective(one) for one in alternatives])
    return _merged(alternatives)


def _merged(alternatives: list[Alternative]) -> list[Alternative]:
    by_field: dict[str, tuple[Anchor, ...]] = {}
    several = [one for one in alternatives if len(one) > 1]
    for one in alternatives:
        if len(one) == 1:
            ((field, anchors),) = one.items()
            by_field[field] = by_field.get(field, ()) + anchors
    return [*({field: anchors} for field, anchors in by_field.items()), *several]


def _all_of(parts: list[list[Alternative]]) -> list[Alternative]:
    """Return the combinations of one alternative of each part, leaving out parts that would make too many of them."""
    found: list[Alternative] = [{}]
    for part in sorted(parts, key=len):
        if len(found) * len(part) <= MAX_ALTERNATIVES:
            found = [_both(left, right) for left in found for right in part]
    return found


def _both(left: Alternative, right: Alternative) -> Alternative:
    common = left.keys() & right.keys()
    return {**left, **right, **{field: min(left[field], right[field], key=_cost) for field in common}}


def most_selective(alternative: Alternative) -> Alternative:
    """Return the alternative with only the field whose anchors fewest records contain."""
    field = min(alternative, key=lambda field: _cost(alternative[field]))
    return {field: alternative[field]}


def _cost(anchors: Sequence[Anchor]) -> tuple[int, int]:
    return max((_anchor_cost(anchor) for anchor in anchors), default=(0, 0))


def _anchor_cost(anchor: Anchor) -> tuple[int, int]:
    if anchor.field in _WEAK:
        return len(_FIELD_WORTH) + 1, 0
    worth = _FIELD_WORTH.index(anchor.field) if anchor.field in _FIELD_WORTH else len(_FIELD_WORTH)
    return worth, _HOW_WORTH.index(anchor.how)


def audit_anchors(test: Text) -> Sequence[Anchor]:
    """Return what a test implies of an audit entry."""
    field, how, value, cased = test.field, test.how, test.value, test.cased
    if field == "mount_path":
        return audit_anchors(Text("request.path", *_within_a_path(how, value), cased))
    if field == "mount_type" and how == "eq":
        return [Anchor("request.mount_type", "eq", name) for name in ("", *logged_types(value.lower()))]
    if field in _NEVER_ANCHORS or field.startswith("local.") or (field == "request.operation" and how != "eq"):
        return ()
    return [Anchor(field, how, value.lower())] if _keeps_its_length(test) else ()


def server_anchors(test: Text) -> Sequence[Anchor]:
    """Return what a test implies of a server-log message: its level, or a text that all of its lines must contain."""
    if test.field == "level":
        return [Anchor("level", "eq", test.value.lower())] if test.how == "eq" else ()
    is_field = test.field.startswith("fields.")
    if not (is_field or test.field in _SERVER_TEXTS) or not _keeps_its_length(test):
        return ()
    literal = _longest_literal(test.value) if test.how == "glob" else test.value
    if not literal or (is_field and _OF_A_NUMBER.fullmatch(literal)):
        return ()
    return [Anchor(_LINE, "contains", literal.lower())]


def _longest_literal(glob: str) -> str:
    return "" if "\\" in glob else max(re.split(r"[*?]+", glob), key=len)


def _within_a_path(how: TextHow, value: str) -> tuple[TextHow, str]:
    """Turn a test of `mount_path`, which is the end of `request.path` behind a slash, into one of `request.path`."""
    implied: dict[TextHow, tuple[TextHow, str]] = {
        "eq": ("suffix", f"/{value}"),
        "prefix": ("contains", f"/{value}"),
        "glob": ("glob", f"*/{value}"),
    }
    return implied.get(how, (how, value))


def _keeps_its_length(test: Text) -> bool:
    # The lower case of a part is not always part of the lower case of the whole, and may have another length.
    return not test.cased or (test.value.isascii() and not (test.how == "glob" and "?" in test.value))


def needs_field(condition: Condition, name: str) -> bool:
    """Return whether the condition holds only for a record that has this derived field.

    Args:
        condition: The condition of a rule.
        name: `secret_in_clear` or `partial`, which few records have.
    """
    match condition:
        case Boolean(field, wanted) | Exists(field, wanted):
            return field == name and wanted
        case Text(field):
            return field == name
        case And(parts):
            return any(needs_field(part, name) for part in parts)
        case Or(parts):
            return all(needs_field(part, name) for part in parts)
        case _:
            return False


class Masks:
    """All anchors on one field: a dictionary for whole values, one RE2 automaton for the others.

    A mask has a bit for each alternative, at its position. `free` are those without anchors on this field, and
    `of_nothing` those that it allows if it is absent or empty.
    """

    def __init__(self, field: str, alternatives: Sequence[Alternative]) -> None:
        """Take the anchors on `field` of each alternative."""
        whole: dict[str, int] = defaultdict(int)
        patterns: dict[str, int] = defaultdict(int)
        self.free = 0
        for number, alternative in enumerate(alternatives):
            if field not in alternative:
                self.free |= 1 << number
            for anchor in alternative.get(field, ()):
                table, key = (whole, anchor.value) if anchor.how == "eq" else (patterns, _pattern(anchor))
                table[key] |= 1 << number
        self._whole = dict(whole)
        self.of_nothing = self.free | whole.get("", 0)
        self._of_pattern = list(patterns.values())
        self._match = _automaton(patterns).Match if patterns else lambda _: None

    def of(self, text: str) -> int:
        """Return the alternatives with an anchor that occurs in this value of the field."""
        text = text.lower()
        return self._whole.get(text, 0) | self.within(text)

    def within(self, lowered: str | bytes) -> int:
        """Return the alternatives with an anchor that occurs within this text, which is in lower case."""
        mask = 0
        for number in self._match(lowered) or ():
            mask |= self._of_pattern[number]
        return mask


def masks(alternatives: Sequence[Alternative]) -> dict[str, Masks]:
    """Return the masks of each field that has anchors."""
    fields = dict.fromkeys(field for one in alternatives for field in one)
    return {field: Masks(field, alternatives) for field in fields}


def bits(mask: int) -> Iterator[int]:
    """Yield the positions of the bits of a mask, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _automaton(patterns: Iterable[str]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MATCHER_MEMORY_BYTES
    automaton = re2.Set.SearchSet(options)
    for pattern in patterns:
        automaton.Add(pattern)
    automaton.Compile()
    return automaton


def _pattern(anchor: Anchor) -> str:
    literal: str = re2.escape(anchor.value)
    if anchor.how == "prefix":
        return r"\A" + literal
    if anchor.how == "suffix":
        return literal + r"\z"
    return literal if anchor.how == "contains" else rf"\A(?:{glob_regex(anchor.value)})\z"
