"""The rules: which matched, which did not, which are staged, and what no rule looks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vaultwatch.findings.unseen import without_log
from vaultwatch.report.contents import Contents
from vaultwatch.report.elements import badge, code, note, plural, section, table
from vaultwatch.report.markup import Child, Html, tag
from vaultwatch.rules.pack import CompiledRule

_MOST_RULES = 300
_NOT_DETECTED = (
    "what no audit device logged, or what was removed from its log: compare two devices",
    "whether a call was meant: a stolen token looks like its owner, if the owner may do the same",
    "what is unusual only for one caller: rules know no habits",
    "values that are logged as hashes",
)


def rules(contents: Contents) -> Html:
    """Return the section."""
    order = sorted(contents.rules, key=lambda rule: (-_hits(rule, contents), -rule.level.rank, rule.name))
    rows = [_row(rule, contents) for rule in order[:_MOST_RULES]]
    more = len(order) - len(rows)
    caption = f"{plural(len(order), 'rule')}" + (f"; {more:,} that did not match are not shown" if more else "")
    listed = table(caption, ["rule", "level", "log", "#alerts", "state"], rows)
    missing = tag("ul", *(tag("li", text) for text in _NOT_DETECTED))
    return section(
        "rules", "Rules", listed, _logs(contents), *_silenced(contents), tag("h3", "What no rule looks for"), missing
    )


def _silenced(contents: Contents) -> Iterator[Html]:
    """Yield how many alerts filters and disabled rules keep out of the report."""
    found = sorted(contents.silenced.items(), key=lambda item: (-item[1], item[0]))
    if not found:
        return
    rows: list[list[Child]] = [[code(file), code(rule), count] for (rule, file), count in found[:_MOST_RULES]]
    yield tag("h3", "What is silenced")
    yield table("By filters, and because a rule is disabled", ["file", "rule", "#alerts"], rows)


def _hits(rule: CompiledRule, contents: Contents) -> int:
    return contents.cases.hits.get(rule.name, 0) + contents.staged.get(rule.name, 0)


def _row(rule: CompiledRule, contents: Contents) -> Sequence[Child]:
    name = tag("span", rule.title, " ", code(rule.name), class_="rule")
    return [name, badge(rule.level), rule.service, contents.cases.hits.get(rule.name, 0), _noted_state(rule, contents)]


def _noted_state(rule: CompiledRule, contents: Contents) -> str:
    """Return the state of a rule, and the files of the filters that may have silenced it."""
    state = _state(rule, contents)
    return f"{state}; filtered by {', '.join(rule.filters)}" if rule.filters else state


def _state(rule: CompiledRule, contents: Contents) -> str:
    read = contents.counts.audit if rule.service == "audit" else contents.counts.server
    if staged := contents.staged.get(rule.name):
        return f"staged: {staged:,} {'match' if staged == 1 else 'matches'}"
    if rule.name in contents.left_out:
        return "left out by an option"
    if contents.cases.hits.get(rule.name):
        return "matched"
    if not read:
        return f"not tried: no {rule.service} log was read"
    return "staged, no match" if rule.staged else "no match"


def _logs(contents: Contents) -> Html | None:
    text = without_log(contents.rules, contents.counts.audit, contents.counts.server)
    return note(text) if text else None
