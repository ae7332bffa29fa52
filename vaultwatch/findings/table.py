"""Alerts as rows for people: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vaultwatch.findings.found import Finding
from vaultwatch.printable import one_line, quoted_time
from vaultwatch.rules.facts import Level

Style = Callable[[str, Level], str]
"""Adds the colour of a level to a text."""


def rows(alerts: Iterable[Finding], sources: Callable[[str], str], style: Style) -> Iterator[str]:
    """Yield a line with the names of the columns, and one for each alert; nothing if there is none.

    Args:
        alerts: The alerts.
        sources: Returns the name to show for a file.
        style: Adds the colour of a level to a text.
    """
    found = iter(alerts)
    first = next(found, None)
    if first is None:
        return
    yield f"{'TIME':27} {'LEVEL':13} {'RULE':34} WHAT HAPPENED, AND WHERE IT IS LOGGED"
    yield _row(first, sources, style)
    for alert in found:
        yield _row(alert, sources, style)


def short_names(files: Iterable[str]) -> Callable[[str], str]:
    """Return a function that shortens the name of a file: to its last part, if no other file has the same.

    Args:
        files: All names.
    """
    names: dict[str, set[str]] = {}
    for name in files:
        names.setdefault(name.rpartition("/")[2], set()).add(name)

    def short(name: str) -> str:
        last = name.rpartition("/")[2]
        return one_line(last if len(names.get(last, ())) == 1 else name)

    return short


def _row(alert: Finding, sources: Callable[[str], str], style: Style) -> str:
    level = style(f"{alert.level:13}", alert.level)
    place = f"{sources(alert.source.file)}:{alert.source.line}"
    return f"{quoted_time(one_line(alert.time, 27)):27} {level} {alert.rule:34} {one_line(alert.summary)} ({place})"
