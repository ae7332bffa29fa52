"""Rules as Markdown: a page for each, and an index by level, where an operator can argue with the levels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from textwrap import indent

import msgspec

from vaultwatch.cli.rule_markdown import code, paragraph, plain
from vaultwatch.cli.rule_provenance import Origins
from vaultwatch.cli.rule_text import as_yaml, readable
from vaultwatch.dispatch.groups import WINDOW_SECONDS
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule

MEANING = {
    Level.CRITICAL: "wakes somebody: act now",
    Level.HIGH: "somebody looks at it today",
    Level.MEDIUM: "somebody looks at it this week",
    Level.LOW: "a note: nothing to do unless it is unexpected",
    Level.INFORMATIONAL: "notifies nobody: rules that count use it, and it is in the archive",
}
_EACH = "request.id"
"""A rule that groups by it has each act notified."""
_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z])")


def rule_page(rule: Rule, matching: Origins, ignored: Origins, noise: str = "") -> str:
    """Return the page of a rule.

    Args:
        rule: The rule.
        matching: The records in its fixtures that it must match.
        ignored: Those that it must not match.
        noise: What ordinary work raised, in a sentence.
    """
    facts = rule.compiled
    parts = [
        f"# {plain(facts.title)}",
        f"`{facts.name}`: **{facts.level}**, {MEANING[facts.level]}. It reads the {facts.service} log.",
        "It is experimental: its alerts are stored, and nobody is notified." if facts.staged else "",
        paragraph(plain(facts.description)),
        "\n".join(_variants(facts)),
        _section("What to do first", _listed(facts.runbook.strip().splitlines())),
        _section("Condition", _condition(rule)),
        _section("Placeholders", _placeholders(facts)),
        _section("False positives", _listed(facts.falsepositives)),
        _section("Tags and references", _listed([*facts.tags, *facts.references])),
        _section("Noise", paragraph(noise)),
        _section("Tested on", f"Records that it must match: {matching}. Records that it must not: {ignored}."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index_page(rules: Sequence[CompiledRule]) -> str:
    """Return the index of all pages, by level."""
    head = [
        "# Rules by level",
        paragraph(
            "Each rule has a page that says what happened, why it matters, and what to do first. To change a level for "
            "your deployment, write it into an `overrides.yml` (`docs/rule-tools.md`). These pages are written by "
            "`vaultwatch rules catalogue -o docs/rules`; `docs/rules.md` says how to write rules. Commands begin with "
            "`vault`, and are the same for `bao`: an alert names the program of the server that wrote the entry, if it "
            "shows."
        ),
    ]
    found = ["\n\n".join(head), "\n".join(_meanings(rules))]
    for level in sorted(Level, key=lambda level: -level.rank):
        listed = sorted((rule for rule in rules if rule.level is level), key=lambda rule: rule.name)
        if listed:
            found.append(
                "\n".join(
                    [f"## {level}", "", "| rule | title | why | if refused |", "|---|---|---|---|", *map(_row, listed)]
                )
            )
    return "\n\n".join(found) + "\n"


def _meanings(rules: Sequence[CompiledRule]) -> Iterator[str]:
    yield from ("| level | what it asks of people | rules |", "|---|---|---:|")
    for level in sorted(Level, key=lambda level: -level.rank):
        yield f"| {level} | {MEANING[level]} | {sum(rule.level is level for rule in rules)} |"


def why(rule: CompiledRule) -> str:
    """Return the sentence that says why a rule matters: the second one of its description, after what happened."""
    sentences = _SENTENCE_END.split(rule.description.strip())
    return sentences[min(1, len(sentences) - 1)]


def _row(rule: CompiledRule) -> str:
    refused = rule.denied_level or rule.level
    own = f"{plain(rule.denied_title)} ({refused})" if rule.denied_title else "" if refused is rule.level else refused
    staged = " (experimental)" if rule.staged else ""
    return f"| [{plain(rule.name)}]({rule.name}.md) | {plain(rule.title)}{staged} | {plain(why(rule))} | {own} |"


def _variants(facts: CompiledRule) -> Iterator[str]:
    """Yield what differs from a request that succeeded, and how alerts are grouped."""
    if facts.denied_title or facts.denied_level:
        level = facts.denied_level or facts.level
        yield f"- A request that was denied or failed: {plain(facts.denied_title or facts.title)} ({level})."
    if facts.unanswered_title:
        yield f"- A request without a response in the log: {plain(facts.unanswered_title)}."
    window = WINDOW_SECONDS[facts.level] if facts.window_seconds is None else facts.window_seconds
    yield f"- Alerts with the same {', '.join(_group(facts))} are one group."
    yield f"- After a notification, its group is suppressed for {window:,.0f} seconds."
    if _EACH in facts.group_by:
        yield "- All the same, each act that was not denied is notified: the log has what it was about as a hash."
    if facts.same_as:
        yield f"- One notification with {', '.join(map(code, facts.same_as))}, which matches on the same fact."


def _group(facts: CompiledRule) -> list[str]:
    """Return what the alerts of a group share."""
    by_path = facts.level.rank >= Level.HIGH.rank and facts.service == "audit"
    fields = facts.group_by or (("request.path",) if by_path else ())
    fields = tuple("request.path" if field == _EACH else field for field in fields)
    common = ("principal", "namespace", "outcome") if facts.service == "audit" else ("node",)
    return ["cluster", *common, *map(code, fields)]


def _condition(rule: Rule) -> str:
    facts = rule.compiled
    if rule.source:
        return "A function in Python."
    counted = facts.correlation
    text = as_yaml(msgspec.to_builtins(counted), lists_in_line=True) if counted else readable(facts.condition)
    return indent(text.strip(), "    ")


def _placeholders(facts: CompiledRule) -> str:
    written = (as_yaml({name: values}, lists_in_line=True) for name, values in facts.placeholders.items())
    return indent("".join(written).strip(), "    ")


def _section(heading: str, text: str) -> str:
    return f"## {heading}\n\n{text}" if text else ""


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts if text.strip())
