"""Decide rules on an audit entry from the fields that they name, without decoding the others.

Most candidates of the index match no rule: a path is common, a namespace has many clients. Decoding all of such an
entry would take most of the time that it takes (measured: 45 us, with its full view; 12 without).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple, TypedDict

import msgspec

from vaultwatch.reading.budget import could_be_deep
from vaultwatch.reading.records import Origin
from vaultwatch.reading.view import View, view_of_few
from vaultwatch.rules.conditions import Keyword, fields_of, leaves
from vaultwatch.rules.index import Rules
from vaultwatch.rules.pack import Rule

MAX_DECODERS = 256
"""One for each set of rules that were candidates together; entries of further sets are decoded in full."""
_ALWAYS = ("type", "request.id", "request.path", "request.mount_point", "request.mount_type")
_SOURCES = {"outcome": ("error", "response.data"), "local": ("time",)}
_make_type: Any = TypedDict  # type checkers accept no type whose fields are known only at run time
_DERIVED_FROM_ALWAYS = frozenset({"mount_path", "mount_type", "cluster", "node", "lane"})


class Screen:
    """Recognises candidates that match none of their rules."""

    def __init__(self, also: Mapping[str, Collection[str]] | None = None) -> None:
        """Make one that reads further fields for some rules, by their names, besides those in their conditions."""
        self._also = also or {}
        self._plans: dict[Rules, _Plan | None] = {}

    def excludes(
        self, text: bytes, origin: Origin, rules: Rules, waiting: Collection[str], zone: tzinfo | None
    ) -> bool:
        """Return whether it is certain that an entry matches none of these rules, and answers no request that waits.

        Args:
            text: An entry that the index can decode, without its tag.
            origin: Where it came from.
            rules: The rules that could match it.
            waiting: Values of `request.id` that wait for a response.
            zone: The time zone of `local`.
        """
        found = self.matching(text, origin, rules, waiting, zone)
        return found is not None and not found[1]

    def matching(
        self, text: bytes, origin: Origin, rules: Rules, waiting: Collection[str], zone: tzinfo | None
    ) -> tuple[View, list[Rule]] | None:
        """Return a view of an entry's few fields, and the rules that match; None if it must be decoded in full.

        Args:
            text: See `excludes`, like all others.
            origin: Where it came from.
            rules: The rules that could match it.
            waiting: Values of `request.id` that wait for a response.
            zone: The time zone of `local`.
        """
        plan = self._plan(rules)
        if plan is None or could_be_deep(text):
            return None
        try:
            fields = plan.decode(text)
            request_id = fields["request"].get("id")
            if waiting and (not isinstance(request_id, str) or not request_id or request_id in waiting):
                return None
            view = view_of_few(fields, origin, zone, plan.asked)
            return view, [rule for rule in rules if rule.matches(view)]
        except Exception:  # noqa: BLE001  the entry is decoded in full, where errors of a line and of a rule are counted
            return None

    def _plan(self, rules: Rules) -> _Plan | None:
        if rules not in self._plans and len(self._plans) < MAX_DECODERS:
            also = {field for rule in rules for field in self._also.get(rule.name, ())}
            self._plans[rules] = _plan_of(rules, also)
        return self._plans.get(rules)


class _Plan(NamedTuple):
    """How to decode the fields that some rules ask for."""

    decode: Callable[[bytes], Any]
    asked: frozenset[str]


def _plan_of(rules: Rules, also: Collection[str]) -> _Plan | None:
    """Return how to decode the fields that rules name, and others; None if the rules may read any."""
    if not rules or not all(map(_names_its_fields, rules)):
        return None
    named = {*also, *(field for rule in rules for field in fields_of(rule.compiled.condition))}
    asked = named - _DERIVED_FROM_ALWAYS
    for derived, sources in _SOURCES.items():
        of_it = {field for field in asked if field == derived or field.startswith(f"{derived}.")}
        asked = asked - of_it | set(sources if of_it else ())
    decode = msgspec.json.Decoder(_typed({*asked, *_ALWAYS})).decode
    return _Plan(decode, frozenset(field.partition(".")[0] for field in named))


def _names_its_fields(rule: Rule) -> bool:
    is_whole = any(isinstance(leaf, Keyword) for leaf in leaves(rule.compiled.condition))
    return not (is_whole or rule.source or rule.asks_secrets or rule.asks_partial)


def _typed(fields: Iterable[str]) -> Any:
    """Return a type whose objects have these dotted fields, two levels deep, and no others."""
    tree: dict[str, set[str]] = {}
    for field in fields:
        parts = field.split(".")
        tree.setdefault(parts[0], set()).add(parts[1] if len(parts) > 1 else "")
    members = {name: Any if "" in below else _object(name, below) for name, below in tree.items()}
    return _make_type("Entry", members, total=False)


def _object(name: str, below: set[str]) -> Any:
    typed = _make_type(name, dict.fromkeys(below, Any), total=False)
    return typed if name == "request" else typed | None
