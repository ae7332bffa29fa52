"""The top of a report: what was read, the result in a sentence, what went wrong, and the cards."""

from __future__ import annotations

from collections.abc import Iterator

from vaultwatch.findings.uncounted import uncounted
from vaultwatch.printable import counted
from vaultwatch.report.contents import Contents
from vaultwatch.report.markup import Child, Html, tag
from vaultwatch.report.times import clock
from vaultwatch.rules.facts import Level

_MOST_PROBLEMS = 20
_SECTIONS = (
    ("timeline", "Timeline"),
    ("happened", "What happened"),
    ("who", "Who and where"),
    ("completeness", "Completeness"),
    ("rules", "Rules"),
)


def header(contents: Contents) -> Html:
    """Return the top of the page."""
    coverage, counts = contents.coverage, contents.counts
    first, last = coverage.times.first, coverage.times.last
    period = f"{clock(first)} to {clock(last)} UTC · " if first is not None else ""
    below = f" below {contents.folder}" if contents.folder else ""
    read = f"{counted(counts.server, 'server message')} from {counted(len(coverage.logs), 'log')}{below}"
    entries = f"{counted(counts.audit, 'audit entry')}, "
    links = [tag("a", name, href=f"#{anchor}") for anchor, name in _SECTIONS]
    return tag(
        "header",
        tag("h1", "Vault audit report"),
        tag("p", f"{period}{entries}{read}", class_="meta"),
        tag("p", _result(contents), class_="result"),
        _problems(contents),
        tag("nav", *links, aria_label="Sections"),
    )


def _result(contents: Contents) -> str:
    """Return the result in a sentence or two."""
    cases = contents.cases
    if contents.unread:
        return "No log of Vault could be read: this page says nothing about what happened."
    if not cases.total:
        return f"No rule raised an alert{' of those selected' if contents.selected else ''}."
    group = cases.shown[0].group
    first = ", ".join(filter(None, (group.title, group.by)))
    groups = counted(len(cases.shown) + len(cases.others), "group")
    return f"{counted(cases.total, 'alert')} in {groups}. Most important: {first}."


def _problems(contents: Contents) -> Html | None:
    """Return what makes the report incomplete; None if nothing does."""
    errors = contents.counts.rule_errors
    found = list(contents.problems)
    found += [f"rule {name} raised an error on {counted(count, 'record')}" for name, count in errors.items()]
    if contents.counts.partial:
        found.append(f"{counted(contents.counts.partial, 'record')} over their budget were evaluated in part")
    found += uncounted(contents.counts)
    if not found:
        return None
    items = [tag("li", text) for text in found[:_MOST_PROBLEMS]]
    if others := len(found) - len(items):
        items.append(tag("li", f"{others:,} more"))
    title = tag("strong", "This report is not complete.")
    return tag("div", title, tag("ul", *items), class_="problems", role="note")


def cards(contents: Contents) -> Html:
    """Return the cards: groups by level, refused calls, unreadable lines."""
    return tag("section", tag("ul", *_cards(contents), class_="cards"), aria_label="Figures")


def _cards(contents: Contents) -> Iterator[Html]:
    cases, uses = contents.cases, contents.coverage.tally.total
    for level in reversed(Level):
        alerts = cases.alerts(level)
        if alerts or level is not Level.INFORMATIONAL:
            groups = cases.groups(level)
            below = counted(alerts, "alert") if alerts else "no alert"
            if alerts and not groups:
                below += ", in groups of other levels"
            yield _card(str(level), groups, f"{level} {_groups(groups)}", below)
    yield _card("refused", uses.refused, "refused calls", f"of {uses.calls:,}: denied or failed")
    counts = contents.counts
    rejected = counts.rejected
    lines = f"unreadable {'line' if rejected == 1 else 'lines'}"
    reason = (
        f"{contents.reasons[0][0]}"
        if contents.reasons
        else "every line was read"
        if counts.audit or counts.server
        else "no line was read"
    )
    yield _card("rejected" if rejected else "fine", rejected, lines, reason)


def _groups(count: int) -> str:
    return "group" if count == 1 else "groups"


def _card(kind: str, number: int, name: str, below: Child) -> Html:
    kind = kind if number else f"{kind} none"
    return tag("li", tag("b", number), tag("span", name), tag("small", below), class_=f"card {kind}")
