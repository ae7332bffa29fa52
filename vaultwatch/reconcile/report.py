"""What a comparison found, for people and for programs.

Only here texts of the entries are read, again from their logs and only those of the differences that are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from vaultwatch.reading.bounds import brief
from vaultwatch.reading.records import AuditEntry
from vaultwatch.reconcile.comparison import LEFT, RIGHT, Comparison, Finding, Findings, Side
from vaultwatch.reconcile.rows import NO_TIME, Reader, Row
from vaultwatch.reconcile.run import Log, numbered_lines

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_FIELDS = 10
_SHORT, _LONG = 80, 200
_ABSENT = "(absent)"
_SIDES = ("left", "right")


class Change(msgspec.Struct, frozen=True):
    """A field that differs: its name, and both values, cut."""

    field: str
    value: str
    other_value: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry with a difference. Its texts are cut, secrets in them are redacted; they are "" if it has changed since.

    Attributes:
        place: Its log and the number of its line.
        other_place: Those of the entry that it differs from.
        changes: What differs: at most ten fields.
    """

    time: str
    type: str
    operation: str
    path: str
    display_name: str
    request_id: str
    place: str
    other_place: str = ""
    changes: list[Change] = []


class Kind(msgspec.Struct, frozen=True):
    """The differences of one kind.

    Attributes:
        count: How many there are.
        first: The time of the earliest, "" if none has one.
        last: That of the latest.
        entries: The earliest of them.
    """

    count: int
    first: str
    last: str
    entries: list[Entry]


class Span(msgspec.Struct, frozen=True):
    """A span of time in which a side has no entry, and how many the other side has."""

    side: str
    begin: str
    end: str
    entries: int


class Report(msgspec.Struct, frozen=True):
    """All that a comparison found; `silences` are the longest of `silence_count`."""

    equal: bool
    left: dict[str, int]
    right: dict[str, int]
    common: int
    standing_alone: int
    missing_left: Kind
    missing_right: Kind
    differing: Kind
    without_response: Kind
    without_request: Kind
    silence_count: int
    silences: list[Span]


class _Known(NamedTuple):
    """What is known of a row that is shown: its entry's texts, and its fields if they are compared."""

    entry: Entry
    compared: bytes


def report(comparison: Comparison, logs: Sequence[Log], reader: Reader) -> Report:
    """Return what a comparison found, with the texts of the entries that it kept.

    Args:
        comparison: The comparison.
        logs: All logs, those of the left side first.
        reader: The reader with which it was made.
    """
    known = _known((finding for kind in _kinds(comparison).values() for finding in kind), logs, reader)
    return _report(comparison, lambda found: [_entry(finding, known) for finding in found])


def totals(comparison: Comparison) -> Report:
    """Return the numbers of what a comparison found, for which no log is read again."""
    return _report(comparison, lambda found: [])


def _kinds(comparison: Comparison) -> dict[str, Findings]:
    return {
        "missing_left": comparison.missing[LEFT],
        "missing_right": comparison.missing[RIGHT],
        "differing": comparison.differing,
        "without_response": comparison.without_response,
        "without_request": comparison.without_request,
    }


def _report(comparison: Comparison, entries: Callable[[Findings], list[Entry]]) -> Report:
    left, right = map(_side, comparison.sides)
    return Report(
        equal=comparison.equal,
        left=left,
        right=right,
        common=comparison.common,
        standing_alone=comparison.standing_alone,
        silence_count=comparison.silence_count,
        silences=[Span(_SIDES[it.side], _time(it.begin), _time(it.end), it.entries) for it in comparison.silences],
        **{name: _kind(kind, entries(kind)) for name, kind in _kinds(comparison).items()},
    )


def _side(side: Side) -> dict[str, int]:
    return dict(vars(side))


def _time(moment: int) -> str:
    return (_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kind(found: Findings, entries: list[Entry]) -> Kind:
    spans = found.first <= found.last
    return Kind(found.count, _time(found.first) if spans else "", _time(found.last) if spans else "", entries)


def _entry(finding: Finding, known: Mapping[Row, _Known]) -> Entry:
    one = known[finding.row]
    if finding.other is None:
        return one.entry
    other = known[finding.other]
    changes = list(_changes(one, other))
    return msgspec.structs.replace(one.entry, other_place=other.entry.place, changes=changes)


def _changes(one: _Known, other: _Known) -> Iterator[Change]:
    if not (one.compared and other.compared):
        return
    left, right = (dict(_flat(msgspec.json.decode(it.compared))) for it in (one, other))
    names = [name for name in {**left, **right} if left.get(name, _flat) != right.get(name, _flat)]
    for name in sorted(names)[:_MAX_FIELDS]:
        yield Change(brief(name, _SHORT), *(brief(it.get(name, _ABSENT), _SHORT) for it in (left, right)))
    if not names:
        yield Change("time", one.entry.time, other.entry.time)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _known(findings: Iterable[Finding], logs: Sequence[Log], reader: Reader) -> dict[Row, _Known]:
    """Read the entries of findings again: one that has changed since then has no texts."""
    wanted: dict[int, dict[int, set[Row]]] = {}
    compared = set[Row]()
    for finding in findings:
        for row in filter(None, finding):
            wanted.setdefault(row.log, {}).setdefault(row.line, set()).add(row)
            if finding.other:
                compared.add(row)
    known = dict[Row, _Known]()
    for index, rows in wanted.items():
        log = logs[index]
        known |= {row: _Known(_without_texts(row, log), b"") for some in rows.values() for row in some}
        for number, line in _lines(log, max(rows)):
            for row in rows.get(number, ()):
                if entry := _read(line, row, reader):
                    texts = _texts(entry, f"{log.name}:{number}")
                    known[row] = _Known(texts, reader.compared(entry) if row in compared else b"")
    return known


def _lines(log: Log, last: int) -> Iterator[tuple[int, bytes]]:
    return takewhile(lambda numbered: numbered[0] <= last, numbered_lines(log))


def _read(line: bytes, row: Row, reader: Reader) -> AuditEntry | None:
    entries = (entry for entry in reader.read(line) if isinstance(entry, AuditEntry))
    return next((entry for entry in entries if reader.row(entry, row.log, row.line)[:2] == row[:2]), None)


def _without_texts(row: Row, log: Log) -> Entry:
    kind = "response" if row.is_response else "request"
    time = "" if row.moment == NO_TIME else _time(row.moment)
    return Entry(time, kind, "", "", "", "", f"{log.name}:{row.line}")


def _texts(entry: AuditEntry, place: str) -> Entry:
    fields, request, auth = entry.fields, entry.fields["request"], entry.fields.get("auth")
    return Entry(
        time=brief(fields.get("time"), _SHORT),
        type=brief(fields["type"], _SHORT),
        operation=brief(request.get("operation"), _SHORT),
        path=brief(request.get("path"), _LONG),
        display_name=brief(auth.get("display_name") if isinstance(auth, dict) else None, _SHORT),
        request_id=brief(request.get("id"), _SHORT),
        place=place,
    )
