"""Which rules a record could match, found without trying them.

Every rule's condition implies a few *anchors*: texts of which at least one must stand in a certain field. The index
looks up a record's anchor fields and gives the rules that remain; a rule without anchors always remains. The gate is a
decoder of just those fields, which is what makes reading fast (measured: 2.0 times `orjson.loads` with 42 rules, where
decoding everything gives 0.9). Anchors are necessary conditions, so the index can only be wrong by naming too many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec
import re2

from vaultwatch.reading.records import split_tag
from vaultwatch.rules.conditions import Condition, glob_regex, text_of, values
from vaultwatch.rules.pack import Rule

Rules = tuple[Rule, ...]
NONE: frozenset[int] = frozenset()
_SEPARATOR = b"\n"  # stands in no line: without it two fields' values would read like one's and none
MAX_REMEMBERED = 30_000
MAX_REMEMBERED_LENGTH = 512
MATCHER_MEMORY_BYTES = 256 * 1024 * 1024


class Anchor(NamedTuple):
    """`value`, in lower case, must stand in `field`: as a whole, at its start, at its end, somewhere, or as a glob."""

    field: str
    how: str
    value: str


_ALWAYS = ("type", "request.id", "request.operation", "request.path")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError)  # the last: `auth: null`

# How much an anchor narrows down, best first: what a field is worth, then how it is matched.
_FIELD_WORTH = ("request.path", "request.namespace.path", "auth.policies")
_WEAK = frozenset({"request.mount_type", "request.mount_point", "auth.token_type"})
_NEVER_ANCHORS = frozenset(
    (
        *("outcome", "cluster", "node", "lane", "mount_type"),  # derived
        *("type", "auth", "request", "response", "request.namespace", "request.id", "request.operation"),
    )
)
_HOW_WORTH = ("eq", "prefix", "suffix", "contains", "glob")


def anchors_of(condition: Condition) -> list[Anchor] | None:
    """Texts of which one must be there for the condition to hold; None where nothing can be said."""
    kind, *rest = condition
    if kind == "never":
        return []
    if kind == "text":
        field, how, value, cased = rest
        if field == "mount_path":
            return anchors_of(["text", "request.path", *_within_a_path(how, value), cased])
        return [Anchor(field, how, value.lower())] if _anchorable(field, how, value, cased) else None
    if kind == "or":
        branches = [anchors_of(part) for part in rest]
        known = [branch for branch in branches if branch is not None]
        return [anchor for branch in known for anchor in branch] if len(known) == len(branches) else None
    if kind == "and":
        choices = [choice for part in rest if (choice := anchors_of(part)) is not None]
        return min(choices, key=_cost, default=None)
    return None


def _within_a_path(how: str, value: str) -> tuple[str, str]:
    """What the end of a path implies of the whole: `mount_path` is `request.path` less its first characters."""
    if how == "glob":
        return how, f"*{value}"
    return {"eq": "suffix", "prefix": "contains"}.get(how, how), value


def _anchorable(field: str, how: str, value: str, cased: bool) -> bool:
    if field in _NEVER_ANCHORS or field.startswith("local."):
        return False
    # The lower case of a part is not always a part of the whole's lower case, nor that of one character always one.
    return not cased or (value.isascii() and not (how == "glob" and "?" in value))


def _cost(anchors: list[Anchor]) -> tuple[int, int]:
    return max((_anchor_cost(anchor) for anchor in anchors), default=(0, 0))


def _anchor_cost(anchor: Anchor) -> tuple[int, int]:
    if anchor.field in _WEAK:
        return len(_FIELD_WORTH) + 1, 0
    worth = _FIELD_WORTH.index(anchor.field) if anchor.field in _FIELD_WORTH else len(_FIELD_WORTH)
    return worth, _HOW_WORTH.index(anchor.how)


def operations_of(condition: Condition) -> frozenset[str] | None:
    """The operations, in lower case, of which one is needed; None where any will do."""
    kind, *rest = condition
    if kind == "text" and rest[:2] == ["request.operation", "eq"]:
        return frozenset({rest[2].lower()})
    if kind == "or":
        branches = [operations_of(part) for part in rest]
        return None if None in branches else frozenset().union(*(branch or () for branch in branches))
    if kind == "and":
        return min((found for part in rest if (found := operations_of(part)) is not None), key=len, default=None)
    return None


class FieldMatcher:
    """All anchors on one field at once: a dictionary for whole values, one RE2 automaton for the rest."""

    def __init__(self, anchors: Iterable[tuple[Anchor, int]]) -> None:
        whole: dict[str, set[int]] = defaultdict(set)
        patterns: dict[str, set[int]] = defaultdict(set)
        for anchor, rule in anchors:
            table, key = (whole, anchor.value) if anchor.how == "eq" else (patterns, _pattern(anchor))
            table[key].add(rule)
        self._whole = {value: frozenset(rules) for value, rules in whole.items()}
        self._rules_of = [frozenset(rules) for rules in patterns.values()]
        self._match = _automaton(patterns).Match if patterns else lambda _: None

    def rules(self, text: str) -> frozenset[int]:
        """The rules that remain for one value."""
        text = text.lower()
        found = self._whole.get(text, NONE)
        matched = self._match(text)
        return found.union(*(self._rules_of[number] for number in matched)) if matched else found


def _automaton(patterns: Iterable[str]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MATCHER_MEMORY_BYTES
    automaton = re2.Set.SearchSet(options)
    for pattern in patterns:
        automaton.Add(pattern)
    automaton.Compile()
    return automaton


def _matchers(anchors: Iterable[Sequence[Anchor] | None]) -> dict[str, FieldMatcher]:
    by_field: dict[str, list[tuple[Anchor, int]]] = defaultdict(list)
    for number, known in enumerate(anchors):
        for anchor in known or ():
            by_field[anchor.field].append((anchor, number))
    return {field: FieldMatcher(found) for field, found in by_field.items()}


def _pattern(anchor: Anchor) -> str:
    literal: str = re2.escape(anchor.value)
    if anchor.how == "prefix":
        return r"\A" + literal
    if anchor.how == "suffix":
        return literal + r"\z"
    return literal if anchor.how == "contains" else rf"\A(?:{glob_regex(anchor.value)})\z"


class AuditIndex:
    """The index over a pack's audit rules, and the decoder of the fields it asks for.

    What a path leaves over, and what the other fields do, is remembered: paths repeat in any real log. Both tables are
    bounded, since clients choose paths.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rule for rule in rules if rule.service == "audit")
        conditions = [rule.compiled.condition for rule in self.rules]
        anchors = [anchors_of(condition) for condition in conditions]
        self._operations = [operations_of(condition) for condition in conditions]
        self._always = frozenset(number for number, known in enumerate(anchors) if known is None)
        self._matchers = _matchers(anchors)
        self._asked = tuple(field for field in self._matchers if field != "request.path")
        extra = sorted({_gate_field(field) for field in self._asked}) or ["request.namespace"]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(_gate_struct((*_ALWAYS, *extra))).decode
        self._extra = (*extra, *extra)[: max(2, len(extra))]  # of one name, attrgetter gives no tuple
        self._extra_values = attrgetter(*self._extra)
        self._by_path: dict[str | None, frozenset[int]] = {}
        self._by_extra: dict[bytes, frozenset[int]] = {}

    def sift(
        self, lines: Sequence[bytes], waiting: Collection[str], *, tagged: bool = False
    ) -> Iterator[tuple[int, bytes, Rules | None]]:
        """Pass over the entries that no rule could match; `tagged` if the lines begin with tags, as far as they do.

        Gives, for every other line: how many entries were passed over before it, the line, and the rules that remain
        (none for an entry whose `request.id` is in `waiting`; None for a line that the gate cannot read). A last item
        with an empty line carries the rest of the count.
        """
        decode, extra_values, join = self._decode, self._extra_values, _SEPARATOR.join
        if tagged:
            decode = self._decode_tagged
        by_path, by_extra = self._by_path.get, self._by_extra.get
        passed = 0
        for line in lines:
            try:
                gate = decode(line)
                request = gate.request
                path_rules = by_path(request.path)
                extra_rules = by_extra(join(extra_values(gate)))
            except _UNREADABLE:
                yield passed, line, None
                passed = 0
                continue
            rules: Rules = ()
            if path_rules is not NONE or extra_rules is not NONE:
                found = self._look_up_path(request.path) if path_rules is None else path_rules
                found = found | (self._look_up_extra(gate) if extra_rules is None else extra_rules)
                rules = self._with_operation(found, request.operation) if found else ()
            if not rules and not (waiting and request.id in waiting):
                passed += 1
                continue
            yield passed, line, rules
            passed = 0
        yield passed, b"", None

    def _decode_tagged(self, line: bytes) -> Any:
        return self._decode(split_tag(line)[1])

    def reads(self, line: bytes) -> bool:
        """Whether a line is an audit entry that the gate can read."""
        try:
            self._decode(split_tag(line)[1])
        except _UNREADABLE:
            return False
        return True

    def candidates(self, entry: bytes) -> Rules:
        """The rules that one entry could match; all of them where the gate cannot read it."""
        try:
            gate = self._decode(entry)
            found = self._look_up_path(gate.request.path) | self._look_up_extra(gate)
            return self._with_operation(found, gate.request.operation)
        except _UNREADABLE:
            return self.rules

    def _with_operation(self, found: frozenset[int], operation: str | None) -> Rules:
        lower, needed = (operation or "").lower(), self._operations
        return tuple(self.rules[n] for n in sorted(found) if (ops := needed[n]) is None or lower in ops)

    def _look_up_path(self, path: str | None) -> frozenset[int]:
        matcher = self._matchers.get("request.path")
        found = self._always
        if path and matcher is not None:
            found = found | matcher.rules(path)
        return _remember(self._by_path, path, found)

    def _look_up_extra(self, gate: Any) -> frozenset[int]:
        raw = self._extra_values(gate)
        try:
            asked = {
                name: msgspec.json.decode(value) if value else None
                for name, value in zip(self._extra, raw, strict=True)
            }
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return frozenset(range(len(self.rules)))  # the reader is more lenient than the gate
        found = NONE
        for field in self._asked:
            for text in _texts(asked, field):
                found = found | self._matchers[field].rules(text)
        return _remember(self._by_extra, _SEPARATOR.join(raw), found)


def _remember(table: dict[Any, frozenset[int]], key: str | bytes | None, found: frozenset[int]) -> frozenset[int]:
    found = found or NONE
    if key is None or len(key) <= MAX_REMEMBERED_LENGTH:
        if len(table) >= MAX_REMEMBERED:
            table.clear()
        table[key] = found
    return found


def _texts(asked: dict[str, Any], field: str) -> Iterable[str]:
    gate_field = _gate_field(field)
    listed = values({"_": asked[gate_field]}, "_" + field[len(gate_field) :])
    return [text for item in listed if (text := text_of(item)) is not None]


def _gate_field(field: str) -> str:
    return ".".join(field.split(".")[:2])


def _gate_struct(fields: Iterable[str]) -> type[msgspec.Struct]:
    """A Struct type that decodes these dotted fields and skips the rest; what is absent or null reads as empty."""
    tree: dict[str, Any] = {}
    for field in fields:
        *above, leaf = field.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[leaf] = field
    return _struct("gate", tree)


def _struct(name: str, tree: dict[str, Any]) -> type[msgspec.Struct]:
    members: list[Any] = []
    for part, below in tree.items():
        if isinstance(below, dict):
            inner = _struct(f"{name}_{part}", below)
            wanted = (inner,) if part == "request" else (inner | None, msgspec.field(default_factory=inner))
            members.append((part, *wanted))
        elif below == "type":  # `kmip-request` and the like are read the slow way
            members.append((part, Literal["request", "response"]))
        elif below in _ALWAYS:
            members.append((part, str | None, None))
        else:
            members.append((part, msgspec.Raw, msgspec.field(default_factory=msgspec.Raw)))
    return msgspec.defstruct(name, members, gc=False)
