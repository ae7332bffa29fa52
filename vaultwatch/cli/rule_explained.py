"""Write what `vaultwatch.rules.explained` returns as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vaultwatch.alerts import Alert
from vaultwatch.cli.rule_text import in_one_line
from vaultwatch.dispatch.groups import own_values
from vaultwatch.printable import one_line, quoted
from vaultwatch.redaction import redacted
from vaultwatch.rules.conditions import And, Condition, Not, Or
from vaultwatch.rules.explained import Explained, Found
from vaultwatch.rules.facts import Level

_MAX_TEXT = 120
_MAX_VALUE = 80
_MAX_REDACTED = 1_000
_JOINED = {And: "all of", Or: "any of", Not: "not"}
Names = Mapping[Condition, str]


def explained_lines(result: Explained, names: Names) -> Iterator[str]:
    """Yield a line for each part of a condition: whether it holds, what it is, and what the record has.

    Args:
        result: The condition with its results.
        names: The names of selections by their conditions.
    """
    yield from _lines(result, names, 0)


def _lines(result: Explained, names: Names, depth: int) -> Iterator[str]:
    name = names.get(result.condition)
    if name is not None:
        yield _line(result.holds, depth, name)
        depth += 1
    text = in_one_line(result.condition)
    if text is not None:
        yield _line(result.holds, depth, one_line(text, _MAX_TEXT) + _has(_tests(result)))
        return
    if name is None or not isinstance(result.condition, And):
        yield _line(result.holds, depth, _JOINED.get(type(result.condition), ""))
        depth += 1
    for part in result.parts:
        yield from _lines(part, names, depth)


def _line(holds: bool, depth: int, text: str) -> str:
    return f"{'yes' if holds else 'no':5}{'  ' * depth}{text}"


def _tests(result: Explained) -> dict[str, Found]:
    found = {one.field: one for one in result.found}
    for part in result.parts:
        found |= _tests(part)
    return found


def _has(found: Mapping[str, Found]) -> str:
    shown = [_shown(one, named=len(found) > 1) for one in found.values()]
    return f"   record: {', '.join(shown)}" if shown else ""


def _shown(found: Found, *, named: bool) -> str:
    before = f"{found.field}: " if named else ""
    if not found.values:
        return f"{before}absent"
    more = f" and {found.more} more" if found.more else ""
    return before + ", ".join(shown_value(found.field, value) for value in found.values) + more


def shown_value(field: str, value: str) -> str:
    """Return a value of a field, safe to show: on one line, without secrets, at most 80 characters."""
    return quoted(one_line(without_secrets(field, value), _MAX_VALUE))


def without_secrets(field: str, value: str) -> str:
    """Return a value of a field without secrets, cut to 1,000 characters."""
    *_, above, last = ["", *field.split(".")]
    return str(redacted({above: {last: value[:_MAX_REDACTED]}})[above][last])


def alert_lines(alert: Alert) -> Iterator[str]:
    """Yield what the alert of a record would be: its level and title, and its group."""
    yield f"alert  {alert.level}: {alert.title}"
    path = alert.path if alert.level.rank >= Level.HIGH.rank and not alert.group_values else ""
    parts = {"cluster": alert.cluster, "principal": alert.principal, "namespace": alert.namespace, "path": path}
    grouped = [f"{name} {quoted(one_line(value, _MAX_VALUE))}" for name, value in parts.items() if value]
    grouped += [quoted(one_line(value, _MAX_VALUE)) for value in own_values(alert) if value]
    yield f"group  {', '.join([alert.rule, *grouped])}"
