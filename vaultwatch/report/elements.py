"""Parts that several sections of a report use: levels, tables, commands, bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vaultwatch.report.markup import Child, Html, join, tag
from vaultwatch.rules.facts import Level


def badge(level: Level) -> Html:
    """Return the name of a level, in its colour."""
    return tag("span", str(level), class_=f"badge {level}")


def section(anchor: str, title: str, *children: Child) -> Html:
    """Return a section with a heading, to which a link leads."""
    heading = tag("h2", title, id=f"{anchor}-heading")
    return tag("section", heading, *children, id=anchor, aria_labelledby=f"{anchor}-heading")


def table(caption: Child, columns: Sequence[str], rows: Iterable[Sequence[Child]]) -> Html:
    """Return a table that scrolls in itself if it is too wide. The first cell of a row is its heading.

    In a narrow window, a row is the first cell with the others below it, each after the name of its column.

    Args:
        caption: What the table shows.
        columns: The names of the columns; one that begins with `#` is a column of numbers.
        rows: The cells.
    """
    kinds = ["n" if name.startswith("#") else None for name in columns]
    head = (tag("th", name.lstrip("#"), scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True))
    body = (_row(row, columns) for row in rows)
    inner = join((tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body)))
    return tag("div", tag("table", inner), class_="scroll", role="group", tabindex=0)


def _row(cells: Sequence[Child], columns: Sequence[str]) -> Html:
    first, *others = cells
    found = [tag("th", first, scope="row")]
    for cell, name in zip(others, columns[1:], strict=True):
        label = name.lstrip("#") or None
        found.append(tag("td", cell, class_="n" if name.startswith("#") else None, data_label=label))
    return tag("tr", *found)


def code(value: str) -> Html:
    """Return a text as it is in a log or in a shell."""
    return tag("code", value)


def command(value: str) -> Html:
    """Return a command for a shell, which can be selected as a whole."""
    return tag("pre", tag("code", value), tabindex=0)


def note(*children: Child) -> Html:
    """Return a remark below a table or a figure."""
    return tag("p", *children, class_="note")


def marked(count: int) -> Html:
    """Return a number that stands out unless it is 0."""
    return tag("strong" if count else "span", count, class_=None if count else "zero")


def when(text: str) -> Html:
    """Return a time that stays on one line."""
    return tag("span", text, class_="when")


def bar(count: int, most: int) -> Html:
    """Return a bar whose length shows a number, which is beside it as text."""
    width = f"{max(count / most * 100, 1.5):.1f}%" if count and most else "0"
    return tag("svg", tag("rect", width=width, height="100%", rx=2), class_="bar", aria_hidden="true")
