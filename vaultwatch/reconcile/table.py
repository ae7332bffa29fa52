"""A report as text for a person. Everything from a log is spelled out, so that nothing in it moves a cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vaultwatch.printable import counted, one_line
from vaultwatch.reconcile.report import Entry, Kind, Report

_KINDS = {
    "missing_left": "missing on the left",
    "missing_right": "missing on the right",
    "differing": "different beyond salted hashes",
    "without_response": "requests without response",
    "without_request": "responses without request",
}


def table(report: Report, unreadable: int = 0) -> Iterator[str]:
    """Yield the lines of a report.

    Args:
        report: What was found.
        unreadable: How many logs could not be read to their end: then there is no verdict unless entries differ.
    """
    if unreadable:
        logs = f"{counted(unreadable, 'log')} could not be read to their end"
        yield f"INCOMPLETE: {logs}; entries that were not read are counted as missing"
    yield f"left:  {_side(report.left)}"
    yield f"right: {_side(report.right)}"
    yield f"on both sides: {report.common:,}"
    yield f"without counterpart, as always: {report.standing_alone:,}"
    for name, title in _KINDS.items():
        kind: Kind = getattr(report, name)
        yield from _kind(title, kind)
    yield f"silences: {report.silence_count:,}"
    for span in report.silences:
        yield f"  {span.side:5}  {span.begin} to {span.end}  while the other side has {counted(span.entries, 'entry')}"
    yield _verdict(report, unreadable)


def _verdict(report: Report, unreadable: int) -> str:
    """Return whether both sides have the same: what differs does so whatever could not be read."""
    if unreadable:
        return "NOT equal, and INCOMPLETE" if report.differing.count else "no verdict: INCOMPLETE"
    return "equal" if report.equal else "NOT equal"


def _side(side: Mapping[str, int]) -> str:
    return (
        f"{counted(side['entries'], 'entry')} of {counted(side['logs'], 'log')}, "
        f"{counted(side['repeated'], 'more copy')}, {counted(side['rejected'], 'line')} without an audit entry, "
        f"{counted(side['partial'], 'entry')} compared in part"
    )


def _kind(title: str, kind: Kind) -> Iterator[str]:
    span = f", {kind.first} to {kind.last}" if kind.first else ""
    yield f"{title}: {kind.count:,}{span}"
    for entry in kind.entries:
        yield f"  {_entry(entry)}"
        for change in entry.changes:
            yield one_line(f"      {change.field}: {change.value} | {change.other_value}")
    if kind.count > len(kind.entries):
        yield f"  and {kind.count - len(kind.entries):,} more"


def _entry(entry: Entry) -> str:
    what = (entry.time, entry.type, entry.operation, entry.path, entry.display_name, entry.request_id)
    places = " | ".join(filter(None, (entry.place, entry.other_place)))
    return one_line("  ".join([*(text or "-" for text in what), places]))
