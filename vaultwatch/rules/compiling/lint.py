"""Find what compiles in a rule, but can never match, or hardly ever."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from vaultwatch.rules.compiling.contradictions import contradictions
from vaultwatch.rules.compiling.documents import read_documents
from vaultwatch.rules.compiling.impossible import why_never, why_seldom
from vaultwatch.rules.conditions import Boolean, Condition, Keyword, Never, Number, Regex, Text, leaves
from vaultwatch.rules.pack import CompiledRule

_TOKEN = re.compile(r"[\w.*?-]+")
_MAX_VALUE = 80


class Finding(NamedTuple):
    """Something to correct in a rule.

    Attributes:
        rule: The rule's name, or the file of a filter.
        text: What is wrong.
        is_error: A part of the rule never has an effect.
    """

    rule: str
    text: str
    is_error: bool


def lint(rules: Sequence[CompiledRule], directories: Sequence[Path]) -> list[Finding]:
    """Return what is wrong with compiled rules, and with the files that they were compiled from.

    Args:
        rules: The compiled rules.
        directories: Where their files are.

    Raises:
        RuleError: A file cannot be read.
    """
    found = [finding for rule in rules for finding in findings_of(rule)]
    for document in (document for directory in directories for document in read_documents(directory)):
        for key in ("detection", "filter"):
            found += unused_selections(str(document.found.get("name", document.where)), document.found.get(key))
    return found


def findings_of(rule: CompiledRule) -> list[Finding]:
    """Return what is wrong with the values of a compiled rule, each once."""
    found: dict[str, Finding] = {}
    for test in leaves(rule.condition):
        if reason := why_never(test, rule.service):
            finding = Finding(rule.name, f"{_named(test)} never matches: {reason}", True)
        elif rule.service == "audit" and (reason := why_seldom(test)):
            finding = Finding(rule.name, f"{_named(test)} hardly ever matches: {reason}", False)
        else:
            continue
        found[finding.text] = finding
    for reason in contradictions(rule.condition, rule.service):
        with_filters = f" (with {', '.join(rule.filters)})" if rule.filters else ""
        text = f"a part of the condition never holds{with_filters}: {reason}"
        found[reason] = Finding(rule.name, text, is_error=not rule.filters)
    return list(found.values())


def unused_selections(name: str, detection: Any) -> Iterator[Finding]:
    """Yield a warning for each selection that no condition names.

    Args:
        name: What the warning names.
        detection: The `detection` of a rule, or the `filter` of a filter, from YAML.
    """
    if not isinstance(detection, Mapping):
        return
    conditions = detection.get("condition") or []
    words = [
        word
        for condition in (conditions if isinstance(conditions, list) else [conditions])
        for word in _TOKEN.findall(str(condition))
    ]
    for selection in detection:
        if selection not in ("condition", "rules") and not any(_names(word, str(selection)) for word in words):
            yield Finding(name, f"the condition does not use the selection {selection}", False)


def _names(word: str, selection: str) -> bool:
    return fnmatchcase(selection, word) or (word == "them" and not selection.startswith("_"))


def _named(test: Condition) -> str:
    match test:
        case Text(field, _, value) | Regex(field, value):
            return f"{field}: {value[:_MAX_VALUE]}"
        case Number(field, op, value):
            return f"{field}{'' if op == 'eq' else f'|{op}'}: {value}"
        case Boolean(field, wanted):
            return f"{field}: {str(wanted).lower()}"
        case Keyword(_, value):
            return f"keyword {value[:_MAX_VALUE]}"
        case Never():
            return "never"
        case _:
            return str(getattr(test, "field", ""))
