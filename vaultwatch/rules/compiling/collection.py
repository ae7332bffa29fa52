"""Compile folders of rules, filters and placeholders together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.documents import read_documents, read_placeholders
from vaultwatch.rules.compiling.filters import apply_filter
from vaultwatch.rules.compiling.parsed_rule import ParsedRule
from vaultwatch.rules.conditions import Condition
from vaultwatch.rules.pack import CompiledRule, encode_pack


def compile_pack(directories: Sequence[Path]) -> bytes:
    """Compile the Sigma rules below these directories to canonical JSON.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    return encode_pack(compile_directories(directories))


def compile_directories(directories: Sequence[Path]) -> list[CompiledRule]:
    """Compile the Sigma rules below these directories; a later placeholders.yml overrides an earlier one's names.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    rules = _parsed(directories)
    compiled = [rule.compile() for rule in rules]
    notifying.check_same_as(compiled, {rule.name for rule in compiled})
    return compiled


def selections_of(name: str, directories: Sequence[Path]) -> dict[Condition, str]:
    """Return the names of a rule's selections, and of those of its filters, by their conditions.

    A rule that is not in these directories has none.

    Raises:
        RuleError: The rules below these directories do not compile.
    """
    found = [rule.selections() for rule in _parsed(directories) if rule.name == name]
    return found[0] if found else {}


def _parsed(directories: Sequence[Path]) -> list[ParsedRule]:
    """Parse the rules below these directories, and apply the filters."""
    placeholders: dict[str, list[Any]] = {}
    for directory in directories:
        placeholders |= read_placeholders(directory)
    documents = [document for directory in directories for document in read_documents(directory)]
    rules = [ParsedRule(document, placeholders) for document in documents if "filter" not in document.found]
    _refuse_duplicates(rules)
    for document in documents:
        if "filter" in document.found:
            apply_filter(document, placeholders, rules)
    return rules


def _refuse_duplicates(rules: Sequence[ParsedRule]) -> None:
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.name in seen:
            raise RuleError(f"{rule.where}: a second rule named {rule.name}; the first is {seen[rule.name]}")
        seen[rule.name] = rule.where
