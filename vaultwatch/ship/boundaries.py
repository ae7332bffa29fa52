"""Where a run of server-log lines may be divided without dividing a message.

One message can be several lines, and lines of several writers come interleaved. A line that looks like the beginning of
a message begins one; any other is taken to go on with its writer's last. That may hold a line back for a moment too
long, and never divides a message; what belongs together in truth is the reader's to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from vaultwatch.reading.hclog import read_head, without_colours
from vaultwatch.reading.records import split_tag
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header

Writer = tuple[str, str, str, str, str]
"""Cluster and node of the tag; host, program and process id of the syslog header."""


class Line(NamedTuple):
    """One line with its newline, when it came (monotonic seconds), who wrote it, and whether it begins a message."""

    text: bytes
    at: float
    writer: Writer
    opens: bool


def read_line(line: bytes, at: float) -> Line:
    """Tell who wrote a line, by its tag and syslog header, and whether it begins a message."""
    origin, text = split_tag(line)
    text = without_colours(text)
    header: Header = NO_HEADER
    opens = read_head(text) is not None
    if not opens:
        header, text = strip_syslog_header(text.rstrip(b"\r\n"))
        opens = text.startswith((b"{", b"==> ")) or read_head(text) is not None
    return Line(line, at, (origin.cluster, origin.node, header.host, header.program, header.pid), opens)


def boundaries(lines: Sequence[Line], settled_before: float, begun_before: float) -> list[int]:
    """Tell before which lines (and after the last: `len(lines)`) a cut divides no message.

    A writer's last message may still go on unless its last line came before `settled_before` or its first before
    `begun_before`. 0 is not among them.
    """
    ends, current = _ends(lines)
    for first in current.values():
        if lines[ends[first]].at > settled_before and lines[first].at > begun_before:
            ends[first] = len(lines)
    return [index + 1 for index, end in enumerate(accumulate(ends, max)) if end <= index]


def _ends(lines: Sequence[Line]) -> tuple[list[int], dict[Writer, int]]:
    """Index of each message's last line by that of its first, and the first line of each writer's last message."""
    ends = list(range(len(lines)))
    current: dict[Writer, int] = {}
    for index, line in enumerate(lines):
        first = index if line.opens else current.get(line.writer, index)
        current[line.writer] = first
        ends[first] = index
    return ends, current
