"""The reference that the index is tested against."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from vaultwatch.reading.records import AuditEntry, read_audit_entry, split_tag
from vaultwatch.reading.view import audit_view
from vaultwatch.rules.conditions import And, Boolean, Condition, Never, Not, Or, Regex, Text
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.predicates import compile_regex, predicate, text_of, text_test, values

_text_test, _compile = lru_cache(maxsize=5000)(text_test), lru_cache(maxsize=5000)(compile_regex)


def evaluate_plainly(rules: Iterable[Rule], line: bytes, zone: tzinfo | None = None) -> set[str] | None:
    """Return the names of the rules that match a line, by evaluating every rule; None if the line is no entry."""
    origin, text = split_tag(line.rstrip(b"\r\n"))
    record = read_audit_entry(text, origin)
    if not isinstance(record, AuditEntry):
        return None
    view = audit_view(record, zone)
    audit = [rule for rule in rules if rule.service == "audit"]
    return {
        rule.name for rule in audit if (rule.matches(view) if rule.source else holds(rule.compiled.condition, view))
    }


def holds(condition: Condition, view: dict[str, Any]) -> bool:
    """Return whether a condition holds for a view, test by test, as its definition says."""
    match condition:
        case And(parts):
            return all(holds(part, view) for part in parts)
        case Or(parts):
            return any(holds(part, view) for part in parts)
        case Not(part):
            return not holds(part, view)
        case Never():
            return False
        case Text(field, how, value, cased):
            return any(map(_text_test(how, value, cased), texts(view, field)))
        case Boolean(field, wanted):
            return str(wanted).lower() in [text.lower() for text in texts(view, field)]
        case Regex(field, pattern):
            return any(_compile(pattern).search(text) for text in texts(view, field))
        case _:
            return predicate(condition)(view)


def texts(view: dict[str, Any], field: str) -> list[str]:
    """Return the texts of a field."""
    return [text for value in values(view, field) if (text := text_of(value)) is not None]
