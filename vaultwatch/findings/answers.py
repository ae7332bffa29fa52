"""Groups of alerts as a few lines each: what happened, who did it, when, how it ended, on what, and where to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from vaultwatch.findings.groups import Group
from vaultwatch.findings.table import Style
from vaultwatch.printable import one_line, quoted, quoted_time

_MOST_VALUES = 4
OUTCOMES = {"succeeded": "succeeded", "failed": "denied or failed", "unknown": "no response logged"}
"""How a request ended, in words."""


def answers(groups: Iterable[Group], sources: Callable[[str], str], style: Style) -> Iterator[str]:
    """Yield the lines of each group, and an empty line between two.

    Args:
        groups: The groups, the most important first.
        sources: Returns the name to show for a file.
        style: Adds the colour of a level to a text.
    """
    for number, group in enumerate(groups):
        if number:
            yield ""
        yield f"{style(f'{group.level:13}', group.level)} {one_line(group.title)} ({group.rule})"
        place = f"{sources(group.source.file)}:{group.source.line}"
        yield _indented(f"{group.count:,} x {_by(group)}{_ended(group)}")
        if group.counted:
            yield _indented(f"{'first: ' if group.count > 1 else ''}{group.counted}")
        yield _indented(f"{_when(group)}, first in {place}")
        if group.paths:
            yield _indented(f"on {_listed(group.paths)}")


def _indented(text: str) -> str:
    return f"{'':13} {one_line(text)}"


def _by(group: Group) -> str:
    origin = f" from {_listed(group.addresses)}" if group.addresses and group.who not in group.addresses else ""
    namespace = f" in namespace {quoted(one_line(group.namespace))}" if group.namespace else ""
    return f"{group.by}{origin}{namespace}"


def _ended(group: Group) -> str:
    if group.service == "server":  # whose messages have no outcome
        return ""
    if len(group.outcomes) == 1:
        return f": {OUTCOMES[next(iter(group.outcomes))]}"
    return ": " + ", ".join(f"{count:,} {OUTCOMES[outcome]}" for outcome, count in group.outcomes.most_common())


def _when(group: Group) -> str:
    first, last = quoted_time(one_line(group.first[:19])), quoted_time(one_line(group.last[:19]))
    return (first if first == last else f"{first} to {last}") if first else "without a time"


def _listed(values: Counter[str]) -> str:
    named = [quoted(one_line(value)) for value, _ in values.most_common(_MOST_VALUES)]
    others = len(values) - len(named)
    return ", ".join(named) + (f" and {others:,} more" if others else "")
