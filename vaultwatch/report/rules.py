"""The rules: which matched, which did not, which are staged, and what no rule looks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vaultwatch.findings.unseen import without_log
from vaultwatch.printable import counted
from vaultwatch.report.contents import Contents
from vaultwatch.report.elements import badge, code, note, section, table
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
    listed_rules = [rule for rule in order if _hits(rule, contents) or rule.filters]
    others = [rule for rule in order if not (_hits(rule, contents) or rule.filters)]
    more = len(listed_rules) - _MOST_RULES
    caption = f"{len(listed_rules):,} of {counted(len(order), 'rule')}" + (f"; {more:,} not shown" if more > 0 else "")
    rows = [_row(rule, contents) for rule in listed_rules[:_MOST_RULES]]
    listed = table(caption, ["rule", "level", "log", "#alerts", "state"], rows) if rows else None
    missing = tag("ul", *(tag("li", text) for text in _NOT_DETECTED))
    silent = _without_match(others, contents)
    title = tag("h3", "What no rule looks for")
    return section("rules", "Rules", listed, silent, _logs(contents), *_silenced(contents), title, missing)


def _without_match(found: Sequence[CompiledRule], contents: Contents) -> Html | None:
    """Return the rules without a match, by the reason: folded on a screen, in narrow columns on paper."""
    if not found:
        return None
    states: dict[str, list[CompiledRule]] = {}
    for rule in found[:_MOST_RULES]:
        states.setdefault(_state(rule, contents), []).append(rule)
    more = len(found) - _MOST_RULES
    parts: list[Child] = [note(f"{more:,} more not shown.")] if more > 0 else []
    for state, rules_of in states.items():
        parts.append(tag("h3", f"{state[:1].upper()}{state[1:]} ({len(rules_of):,})"))
        parts.append(tag("ul", *map(_silent, rules_of), class_="names"))
    summary = tag("summary", f"{counted(len(found), 'rule')} without a match")
    return tag("details", summary, tag("div", *parts, class_="body"), class_="inner")


def _silent(rule: CompiledRule) -> Html:
    return tag("li", tag("span", str(rule.level), class_="level"), " ", rule.title, " ", code(rule.name), class_="rule")


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
        return f"staged: {counted(staged, 'match')}"
    if why := contents.left_out.get(rule.name):
        return why
    if contents.cases.hits.get(rule.name):
        return "matched"
    if not read:
        return f"not tried: no {rule.service} log was read"
    return "staged, no match" if rule.staged else "no match"


def _logs(contents: Contents) -> Html | None:
    text = without_log(contents.rules, contents.counts.audit, contents.counts.server)
    return note(text) if text else None
