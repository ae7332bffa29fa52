"""Compiled rules, as JSON and ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from vaultwatch.errors import RuleError
from vaultwatch.rules.conditions import Condition, fields_of, uses_field
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.facts import RuleFacts
from vaultwatch.rules.predicates import Predicate, predicate

PACK_VERSION = 3
SHIPPED_PACK = Path(__file__).with_name("pack.json")


class CompiledRule(RuleFacts, frozen=True, kw_only=True, omit_defaults=True):
    """One rule as data.

    `placeholders` are the values that were filled into its condition, `filters` the files of the filters in it, and
    `overridden` the keys that an overrides.yml changed, to show them to people. A correlation has a condition that
    never holds.
    """

    condition: Condition
    correlation: Correlation | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    placeholders: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    filters: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()


class CompiledPack(msgspec.Struct, frozen=True):
    """A pack of rules, as `vaultwatch rules compile` writes it."""

    version: int
    rules: tuple[CompiledRule, ...]


class Rule:
    """One rule: its facts, and `matches(view)`, which is made on first use, as most rules match nothing in a log.

    `source` is the file of a rule in Python.
    """

    def __init__(self, compiled: CompiledRule, matches: Predicate | None = None, source: bytes = b"") -> None:
        self.compiled = compiled
        self.name = compiled.name
        self.service = compiled.service
        self.source = source
        self.fields = fields_of(compiled.condition)
        self.asks_partial = uses_field(self.fields, "partial")
        self.asks_secrets = bool(source) or uses_field(self.fields, "secret_in_clear")
        self._given = matches

    @cached_property
    def matches(self) -> Predicate:
        """Returns whether the rule matches a record's view."""
        return self._given or predicate(self.compiled.condition)

    @property
    def digest(self) -> str:
        """32 hex digits over what the rule detects. If the digest changes, it is a new rule under the same name."""
        counted = [self.compiled.correlation] if self.compiled.correlation else []
        condition = msgspec.json.encode([self.service, self.compiled.condition, *counted])
        return hashlib.sha256(condition + self.source).hexdigest()[:32]


def encode_pack(rules: Sequence[CompiledRule]) -> bytes:
    """Encode rules as canonical JSON, one rule per line: the same rules give the same bytes."""
    lines = [msgspec.json.encode(rule) for rule in sorted(rules, key=lambda rule: rule.name)]
    return b'{"version":%d,"rules":[\n%s\n]}\n' % (PACK_VERSION, b",\n".join(lines))


def decode_pack(data: bytes, source: str = "the rule pack") -> list[Rule]:
    """Decode a compiled pack, and make its rules ready to run.

    Args:
        data: The pack, from `encode_pack`.
        source: The name of the pack in an error.

    Raises:
        RuleError: This is not a pack, or one of another version.
    """
    try:
        pack = msgspec.json.decode(data, type=CompiledPack)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RuleError(f"{source}: not a compiled rule pack: {error}") from error
    if pack.version != PACK_VERSION:
        raise RuleError(
            f"{source}: version {pack.version}, but this program reads version {PACK_VERSION}: compile it again"
        )
    return [Rule(compiled) for compiled in pack.rules]


def shipped_rules() -> list[Rule]:
    """Load the pack that comes with Vaultwatch.

    Raises:
        RuleError: The pack is missing or cannot be read.
    """
    try:
        data = SHIPPED_PACK.read_bytes()
    except OSError as error:
        raise RuleError(f"{SHIPPED_PACK.name}: {error.strerror}; run `vaultwatch rules compile`") from error
    return decode_pack(data, SHIPPED_PACK.name)
