"""Files of which nothing can be read: each kind of them in one sentence, with a few names."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vaultwatch.findings.reader import LogRead
from vaultwatch.findings.trials import hint_of
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.forms import form_named
from vaultwatch.inputs.rejects import without_position
from vaultwatch.printable import counted

_MOST_KINDS, _MOST_KEPT, _MOST_NAMED = 5, 100, 3


class _Kind(msgspec.Struct):
    """Files whose first line was rejected for one reason, and for which people can do the same.

    Attributes:
        count: How many there are.
        some: The first of them.
    """

    count: int = 0
    some: list[LogRead] = msgspec.field(default_factory=list)


class Foreign:
    """Gathers them at one place.

    Attributes:
        count: How many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def add(self, log: LogRead) -> None:
        """Add a file of which every line was rejected."""
        from vaultwatch.inputs.hints import hint_for  # most logs need none of its patterns

        self.count += 1
        if log.first is None:
            return
        hint = log.torn.kind or hint_for(STDIN, log.first)  # else as many kinds as files: torn lines are counted
        key = (without_position(log.first.reason), hint)
        if key in self._kinds or len(self._kinds) < _MOST_KEPT:
            kind = self._kinds.setdefault(key, _Kind())
            kind.count += 1
            if len(kind.some) < _MOST_NAMED:
                kind.some.append(msgspec.structs.replace(log, sample=b"") if kind.some else log)

    def sentences(self, place: str) -> Iterator[str]:
        """Yield what to say of them, the most frequent kind first.

        Args:
            place: The place, for people.
        """
        kinds = sorted(self._kinds.items(), key=lambda item: -item[1].count)[:_MOST_KINDS]
        for (reason, _), kind in kinds:
            yield _alone(kind.some[0]) if kind.count == 1 else _together(place, reason, kind)
        if others := self.count - sum(kind.count for _, kind in kinds):
            yield f"{place}: nothing can be read of {counted(others, 'more file')}, {self.count:,} in all"


def _alone(log: LogRead) -> str:
    if log.first and form_named(log.first.reason):
        return f"{log.name}: {log.first.reason}{_hint(log)}"
    lines = log.rejected
    what = "its only line is rejected" if lines == 1 else f"none of its {lines:,} lines can be read; the first"
    return f"{log.name}: {what}: {log.first.reason if log.first else ''}{_hint(log)}"


def _together(place: str, reason: str, kind: _Kind) -> str:
    names = ", ".join(one.name.removeprefix(f"{place.rstrip('/')}/") for one in kind.some)
    which = "the first" if form_named(reason) else "their first lines"
    more = ", ..." if kind.count > len(kind.some) else ""
    said = f"{place}: nothing can be read of {kind.count:,} files ({names}{more}); {which}: {reason}"
    return said + _hint(kind.some[0])


def _hint(log: LogRead) -> str:
    return hint_of(log) if log.first else ""
