"""The coverage of public rules and paths as a page of Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from vaultwatch.cli.rule_coverage_file import Part, Row
from vaultwatch.cli.rule_markdown import code, paragraph, plain, table

_INTRODUCTION = (
    "Which public detection rules, recommended alerts, and paths of the API with security in them the shipped rules "
    "cover. `vaultwatch rules coverage -o docs/coverage.md` writes this page from `rules/coverage.toml`; tests check "
    "that each entry of a path raises alerts of the rules in its row, and of no others."
)


def page(parts: Sequence[Part], names: Collection[str]) -> str:
    """Return the page.

    Args:
        parts: The public rules and paths.
        names: The names of all rules.
    """
    sections = ["# Coverage", paragraph(_INTRODUCTION), _summary(parts)]
    for part in parts:
        sections += [f"## {plain(part.title)}", _table(part)]
    return "\n\n".join([*sections, *_own(parts, names)]) + "\n"


def _summary(parts: Sequence[Part]) -> str:
    rows = [
        (
            plain(part.title),
            str(len(part.rows)),
            str(sum(bool(row.rules) for row in part.rows)),
            str(sum(bool(row.alarm) for row in part.rows)),
            str(sum(not (row.rules or row.alarm) for row in part.rows)),
        )
        for part in parts
    ]
    return table(("what", "listed", "covered by rules", "by an alarm", "left out, with the reason"), rows)


def _table(part: Part) -> str:
    if any(row.source for row in part.rows):
        rows = [(plain(row.name), plain(row.source), _answer(row)) for row in part.rows]
        return table(("what", "source", "here"), rows)
    return table(("operation and path", "here"), [(code(row.name) + _members(row), _answer(row)) for row in part.rows])


def _answer(row: Row) -> str:
    rules = ", ".join(f"[{name}](rules/{name}.md)" for name in row.rules)
    alarm = f"alarm: {plain(row.alarm)}" if row.alarm else ""
    note = plain(row.note) if row.rules or row.alarm else f"no rule: {plain(row.note)}"
    return "; ".join(part for part in (rules, alarm, note) if part)


def _members(row: Row) -> str:
    """Return the members that an entry must have besides its path."""
    named = ", ".join(code(name) for name in _leaves(row.entry))
    return f" with {named}" if named else ""


def _leaves(members: dict[str, object], above: str = "") -> Iterator[str]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _own(parts: Sequence[Part], names: Collection[str]) -> Iterator[str]:
    """Yield the rules that no public list asks for."""
    own = sorted(set(names) - {name for part in parts for row in part.rows for name in row.rules})
    if own:
        yield "## Rules for what no list names"
        yield "\n".join(f"- [{name}](rules/{name}.md)" for name in own)
