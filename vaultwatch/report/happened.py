"""What happened: groups of alerts, the most important first, each with what to do and where to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vaultwatch.findings.answers import OUTCOMES
from vaultwatch.findings.found import Finding
from vaultwatch.findings.groups import Group
from vaultwatch.printable import counted
from vaultwatch.reading.identity import Outcome
from vaultwatch.report.cases import Case
from vaultwatch.report.contents import Contents
from vaultwatch.report.elements import badge, code, command, note, section, table, when
from vaultwatch.report.markup import Child, Html, join, tag
from vaultwatch.report.times import shown_time
from vaultwatch.rules.facts import Level

_OPEN = 3
_MOST_USES = 12


def happened(contents: Contents) -> Html:
    """Return the section with the groups."""
    found = contents.cases
    if not found.total:
        text = "No log of Vault could be read."
        if not contents.unread:
            text = "No rule raised an alert. What callers did is below; what no rule looks for is at the end."
        return section("happened", "What happened", note(text))
    groups = [_group(case, contents.folder, is_open=number < _OPEN) for number, case in enumerate(found.shown)]
    return section("happened", "What happened", *groups, _others(found.others))


def _group(case: Case, folder: str, *, is_open: bool) -> Html:
    group = case.group
    level = badge(group.level)
    title = tag("span", tag("strong", group.title), " ", _by(group), class_="title")
    figures = tag("span", _figures(group), class_="figures")
    body = tag("div", *_details(case, folder), class_="body")
    return tag("details", tag("summary", level, title, figures), body, open="" if is_open else None)


def _by(group: Group) -> Html | None:
    namespace = f" in namespace {group.namespace}" if group.namespace else ""
    return tag("span", f"{group.by}{namespace}", class_="by") if group.by or namespace else None


def _figures(group: Group) -> str:
    first, last = shown_time(group.first), shown_time(group.last)
    when = first if first == last else f"{first} to {last[11:] if first[:10] == last[:10] else last}"
    ended = "" if group.service == "server" else f" · {_outcomes(group.outcomes)}"
    return f"{group.count:,}\u00d7{ended}{f' · {when}' if when else ''}"


def _outcomes(outcomes: Counter[Outcome]) -> str:
    if len(outcomes) == 1:
        return OUTCOMES[next(iter(outcomes))]
    return ", ".join(f"{count:,} {OUTCOMES[outcome]}" for outcome, count in outcomes.most_common())


def _details(case: Case, folder: str) -> Iterator[Child]:
    group = case.group
    yield (
        _uses(case) if any(path for path, _, _ in case.uses) and group.service == "audit" else _summaries(case, folder)
    )
    if case.runbook:
        yield tag("h3", "What to do")
        yield tag("ul", *(tag("li", line) for line in case.runbook))
    if case.search:
        yield tag("h3", "In the log")
        yield command(case.search)
    if case.commands:
        yield tag("h3", "Stop the caller")
        yield tag("div", *(command(line) for line in case.commands))
    yield _alerts(case, folder)


def _uses(case: Case) -> Html:
    rows = sorted(case.uses.items(), key=lambda item: -item[1].count)
    cells: list[list[Child]] = [
        [code(path), code(address) if address else "", OUTCOMES[ended], use.count, _span(use.first, use.last)]
        for (path, address, ended), use in rows[:_MOST_USES]
    ]
    left = sum(use.count for _, use in rows[_MOST_USES:]) + case.other_uses
    caption = f"Rule {case.group.rule}" + (
        f"; not in this table: {counted(left, 'alert')} on other paths" if left else ""
    )
    return table(caption, ["path", "from", "outcome", "#times", "when (UTC)"], cells)


def _summaries(case: Case, folder: str) -> Html:
    cells: list[list[Child]] = [
        [when(shown_time(alert.time)), alert.summary, _place(alert, folder)] for alert in case.alerts[:_MOST_USES]
    ]
    left = case.group.count - len(cells)
    caption = f"Rule {case.group.rule}" + (f"; not in this table: {counted(left, 'more alert')}" if left else "")
    return table(caption, ["time (UTC)", "what was logged", "logged in"], cells)


def _span(first: str, last: str) -> str:
    begin, end = shown_time(first), shown_time(last)
    return begin if begin == end else f"{begin} to {end[11:] if begin[:10] == end[:10] else end}"


def _alerts(case: Case, folder: str) -> Html:
    """Return the list of alerts, each with an anchor that is its id."""
    rows = [tag("li", *_alert(alert, folder), id=f"alert-{alert.id}") for alert in case.alerts]
    left = case.group.count - len(rows)
    more = note(f"{counted(left, 'alert')} more: `vaultwatch check --alerts --rule {case.group.rule}` lists them.")
    name = tag("summary", f"{'Its alert' if case.group.count == 1 else f'All {case.group.count:,} alerts'}")
    return tag("details", name, tag("ol", *rows, class_="alerts"), more if left else None, class_="inner")


def _alert(alert: Finding, folder: str) -> Iterator[Child]:
    yield tag("a", shown_time(alert.time) or "no time", href=f"#alert-{alert.id}")
    yield join((" ", alert.summary, " ", tag("small", _place(alert, folder))))


def _place(alert: Finding, folder: str) -> str:
    return str(alert.source).removeprefix(folder)


def _others(groups: list[Group]) -> Html | None:
    if not groups:
        return None
    counts = Counter(group.level for group in groups)
    levels = ", ".join(f"{counts[level]:,} {level}" for level in reversed(Level) if counts[level])
    alerts = sum(group.count for group in groups)
    return note(f"Not shown: {counted(len(groups), 'more group')} ({levels}) with {counted(alerts, 'alert')}.")
