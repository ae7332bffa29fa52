"""How to decode the few fields of an audit entry that some rules name, and to find the rules that match.

Which rules match is remembered by the values of these fields, because clients repeat their calls. Paths are many, so
the values of theirs are replaced by which of the rules' tests they pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import tzinfo
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import msgspec

from vaultwatch.reading.records import NO_ORIGIN, Origin
from vaultwatch.reading.view import CALLER_AND_PATH, View, for_rules, mount_of, one_slash, view_of_few
from vaultwatch.rules.conditions import And, Condition, Keyword, Or, Text, fields_of, leaves
from vaultwatch.rules.gate import decoder_of, gate_field, without_nulls
from vaultwatch.rules.index import Rules
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.predicates import text_test
from vaultwatch.rules.remembered import Bounded, Remembered

_TEXTS = frozenset(
    {"type", "time", "error", "auth.entity_id", "auth.display_name", "request.id", "request.operation", "request.path"}
    | {"request.mount_point", "request.mount_type", "request.namespace.path", "request.remote_address"}
)
"""Fields that Vault writes as texts. An entry where one is anything else is decoded in full."""
_MOUNT = ("request.path", "request.mount_point", "request.mount_type")
_OF_OUTCOME = ("error", "response.data", "response.secret")
_SOURCES = {
    "outcome": _OF_OUTCOME,
    "local": ("time",),
    "mount_type": _MOUNT,
    "mount_path": _MOUNT,
    "own_login": tuple(map(".".join, CALLER_AND_PATH)),
}
_OF_THE_ORIGIN = ("cluster", "node", "lane")
_FAILED = Text("outcome", "eq", "failed")
_NOT_REPEATED = frozenset({"time", "local", *_OF_THE_ORIGIN})
"""What is no part of an entry, or never the same: which rules match is not remembered by these."""
Values: TypeAlias = tuple[str | bytes | None, ...]
"""The values of some fields: texts as they are, others as JSON; None or b"" if they are absent."""


class Tables:
    """What is remembered for all plans together, so that the memory is bounded."""

    def __init__(self) -> None:
        """Make empty tables."""
        self.paths: Remembered[Any, Any] = Remembered(lambda of: of[0].tests.of(*of[1:]), lambda of: _length(of[1:]))
        self.matching: Bounded[Any, Rules] = Bounded(lambda key: _length((*key[1], *key[2])))


class Plan:
    """What to decode of an entry for some rules, and what follows from it.

    Attributes:
        fields: What is decoded.
        tests: What the rules ask of paths.
        asks_failure: Whether each of the rules matches only what failed.
        is_in_gate: Whether all of it is what the index decodes as texts.
        values: Returns the values of the fields of an entry that are decoded as texts.
        id_and_time: Returns two of the values of an entry.
        texts: A function for each set of fields that returns their texts; None if they are not decoded as texts.
    """

    def __init__(self, rules: Rules, also: Collection[str], tables: Tables, gate_texts: Collection[str]) -> None:
        """Make a plan.

        Args:
            rules: The rules.
            also: The fields that are read besides those that their conditions name.
            tables: What is remembered.
            gate_texts: The fields that the index decodes as texts.
        """
        named = _named(rules)
        fields = sorted(_decoded_for(named, also))
        of_conditions = _decoded({*named, "type", *_MOUNT})
        asked = [field for field in fields if not of_conditions.isdisjoint((field, *_below(field, of_conditions)))]
        self._rules, self._derived = rules, frozenset(field.partition(".")[0] for field in (*named, *also))
        self.fields, self._asked = tuple(dict.fromkeys((*asked, *fields))), len(asked)
        self.is_in_gate = frozenset(self.fields).issubset(gate_texts)
        self._decode = decoder_of(self.fields, dict.fromkeys(_TEXTS, str | None))
        self.values: Any = attrgetter(*self.fields)
        self._objects = _objects(self.fields)
        self._has_json = not _TEXTS.issuperset(self.fields)
        self._repeats = _NOT_REPEATED.isdisjoint({*asked, *(field.partition(".")[0] for field in named)})
        self._tables = tables
        self.asks_failure = all(_implies(rule.compiled.condition, _FAILED) for rule in rules)
        self.tests = _PathTests([rule.compiled.condition for rule in rules])
        self._mount = self._pick(_MOUNT)
        self._others = self._pick([field for field in asked if field not in _MOUNT])
        self.id_and_time: Any = self._pick(("request.id", "time"))
        self.texts: Remembered[tuple[str, ...], Any] = Remembered(self._pick_texts, len)

    def decode(self, text: bytes) -> Values:
        """Return the values of the fields of an entry."""
        gate = self._decode(text)
        try:
            values = self.values(gate)
        except AttributeError:  # `auth` or another object is null
            values = self.values(without_nulls(gate))
        return tuple(map(_kept, values)) if self._has_json else values

    def matching(self, values: Values, origin: Origin, zone: tzinfo | None) -> Rules:
        """Return the rules that match an entry with these values."""
        if not self._repeats:
            return self._decide(values, origin, zone)
        tables, tests = self._tables, self.tests
        path, mount_point, mount_type = self._mount(values)
        # The lower case of a part is that of the whole only in ASCII; without its fields, the mount is in the path.
        if tests.reach >= 0 and path and mount_point and mount_type and path.isascii() and "//" not in path:
            path = tests.deciding(path, mount_point)
        kind = self, tables.paths[self, path, mount_point, mount_type], self._others(values)
        found = tables.matching.get(kind)
        return tables.matching.keep(kind, self._decide(values, NO_ORIGIN, None)) if found is None else found

    def view(self, values: Values, origin: Origin, zone: tzinfo | None) -> View:
        """Return the view of an entry with these values."""
        decoded = tuple(map(_value_of, values)) if self._has_json else values
        fields: dict[str, Any] = {"request": {}}
        for above, names, begins in self._objects:
            inside = fields
            for part in above:
                inside = inside.setdefault(part, {})
            inside.update(zip(names, decoded[begins:], strict=False))
        return view_of_few(fields, origin, zone, self._derived)

    def _decide(self, values: Values, origin: Origin, zone: tzinfo | None) -> Rules:
        view = self.view(values[: self._asked], origin, zone)
        if "//" in (view["request"].get("path") or ""):
            view = for_rules(view)
        return tuple([rule for rule in self._rules if rule.matches(view)])

    def _pick_texts(self, fields: tuple[str, ...]) -> Any:
        return self._pick(fields) if _TEXTS.intersection(self.fields).issuperset(fields) else None

    def _pick(self, fields: Sequence[str]) -> Any:
        """Return a function that returns the values of these fields, as a tuple."""
        if len(fields) == 1:
            begins = self.fields.index(fields[0])
            return itemgetter(slice(begins, begins + 1))
        return itemgetter(*map(self.fields.index, fields)) if fields else lambda _: ()


class _PathTests:
    """What rules ask of the path of a request: with paths that pass the same tests, the same rules match.

    Attributes:
        reach: How much of a path behind its mount point decides, if tests only ask how paths begin; -1 if they ask
            more. Most paths below a mount are then one.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        """Take the conditions of the rules."""
        named = [(leaf, fields_of(leaf)) for one in conditions for leaf in leaves(one)]
        tests = [leaf for leaf, fields in named if not fields.isdisjoint(("request.path", "mount_path", "own_login"))]
        texts = dict.fromkeys(leaf for leaf in tests if isinstance(leaf, Text))
        self._are_texts = texts.keys() >= set(tests)
        self.reach = max((len(leaf.value) + 1 for leaf in texts), default=0)
        if not (self._are_texts and all(leaf.how in ("eq", "prefix") for leaf in texts)):
            self.reach = -1
        self._begin = {leaf.value[:1].lower() for leaf in texts if leaf.field == "mount_path"}
        self._longest = max((len(leaf.value) for leaf in texts if leaf.field == "request.path"), default=0)
        self._name_mounts = any(not fields.isdisjoint(("mount_type", "mount_path")) for _, fields in named)
        self._of_path, self._of_mount_path = (
            [text_test(leaf.how, leaf.value, leaf.cased) for leaf in texts if leaf.field == field]
            for field in ("request.path", "mount_path")
        )

    def deciding(self, path: str, mount_point: str) -> str:
        """Return the beginning of a path that decides, if there is a reach."""
        end = len(mount_point)
        fails_all = end >= self._longest and path.startswith(mount_point) and not self._may_match(path[end : end + 1])
        return path[: end + (1 if fails_all else self.reach)]

    def _may_match(self, first: str) -> bool:
        """Return whether a path below a mount that begins with this character may pass one of its tests."""
        return first.lower() in self._begin or "" in self._begin

    def of(self, path: str | None, mount_point: str | None, mount_type: str | None) -> Values:
        """Return what the rules that match depend on, of the path and of what is derived from it."""
        if not self._are_texts:
            return path, mount_point, mount_type
        tested = one_slash(path) if path else ""
        passed = bytes([test(tested) for test in self._of_path]) if path else b""
        if not self._name_mounts:
            return passed, mount_point, mount_type
        kind, below = mount_of(path or "", mount_point, mount_type)
        tested_below = one_slash(below) if below else ""
        passed_below = bytes([test(tested_below) for test in self._of_mount_path]) if below else b""
        return passed, passed_below, kind, mount_point, mount_type


def plan_of(rules: Rules, also: Collection[str], tables: Tables, gate_texts: Collection[str]) -> Plan | None:
    """Return how to decode the fields that rules name, and others; None if the rules may read any: see `Plan`."""
    return Plan(rules, also, tables, gate_texts) if rules and _name_their_fields(rules) else None


def shows_no_error(text: bytes) -> bool:
    """Return whether an entry has no member that makes its outcome `failed`: one whose name begins with "error"."""
    return b'"error' not in text and b"\\u" not in text


def texts_for(rules: Rules, also: Collection[str]) -> Collection[str]:
    """Return the fields to decode for some rules, if all of them are texts, and otherwise none.

    Args:
        rules: The rules.
        also: The fields that are read besides those that their conditions name.
    """
    found = _decoded_for(_named(rules), also) if _name_their_fields(rules) else set()
    return found if _TEXTS.issuperset(found) else ()


def _implies(condition: Condition, test: Text) -> bool:
    """Return whether a condition holds only if a test does."""
    if isinstance(condition, And | Or):
        parts = [_implies(part, test) for part in condition.parts]
        return any(parts) if isinstance(condition, And) else all(parts)
    return condition == test


def _name_their_fields(rules: Rules) -> bool:
    return all(map(_names_its_fields, rules)) and "request" not in _named(rules)


def _named(rules: Rules) -> set[str]:
    return {field for rule in rules for field in rule.fields}


def _decoded_for(named: Collection[str], also: Collection[str]) -> set[str]:
    return _decoded({*named, *also, "type", "request.id", "time", *_MOUNT})


def _names_its_fields(rule: Rule) -> bool:
    is_whole = any(isinstance(leaf, Keyword) for leaf in leaves(rule.compiled.condition))
    return not (is_whole or rule.source or rule.asks_secrets or rule.asks_partial)


def _decoded(fields: Iterable[str]) -> set[str]:
    """Return what is decoded for some fields: what they are derived from, and the objects that contain them."""
    sources = {source for field in fields for source in _SOURCES.get(field.partition(".")[0], (field,))}
    found = {gate_field(field) for field in sources}.difference(_OF_THE_ORIGIN)
    return {field for field in found if not found & _objects_above(field)}


def _objects_above(field: str) -> set[str]:
    parts = field.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def _below(field: str, fields: Iterable[str]) -> list[str]:
    return [one for one in fields if field in _objects_above(one)]


def _objects(fields: Iterable[str]) -> list[tuple[list[str], list[str], int]]:
    """Return the objects that fields are in: the path of each, the names in it, and the position of the first."""
    found = []
    for path, inside in groupby(enumerate(fields), lambda item: item[1].split(".")[:-1]):
        positions, names = zip(*inside, strict=True)
        found.append((path, [name.rpartition(".")[2] for name in names], positions[0]))
    return found


def _length(values: Values) -> int:
    return sum(map(len, filter(None, values)))


def _kept(value: Any) -> str | bytes | None:
    """Return a value without the line that it is a part of."""
    return value if value is None or type(value) is str else bytes(value)


def _value_of(value: str | bytes | None) -> Any:
    return msgspec.json.decode(value) if value and type(value) is bytes else value or None
