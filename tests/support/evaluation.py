"""The reference that the index is tested against."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from vaultwatch.reading.records import AuditEntry, read_audit_entry, split_tag
from vaultwatch.reading.view import audit_view
from vaultwatch.rules.pack import Rule


def evaluate_plainly(rules: Iterable[Rule], line: bytes, zone: tzinfo | None = None) -> set[str] | None:
    """Return the names of the rules that match a line, by evaluating every rule; None if the line is no entry."""
    origin, text = split_tag(line.rstrip(b"\r\n"))
    record = read_audit_entry(text, origin)
    if not isinstance(record, AuditEntry):
        return None
    view = audit_view(record, zone)
    return {rule.name for rule in rules if rule.service == "audit" and rule.matches(view)}
