"""Find where a batch of server-log lines may be divided without dividing a message.

One message can have several lines, and lines of several writers arrive interleaved. A line that looks like the start of
a message starts one; any other line is taken to continue the last message of its writer. This can delay a line a little
longer than needed, but never divides a message. The reader decides which lines really belong together.
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
    """One line with its newline, when it arrived (monotonic seconds), its writer, and whether it starts a message."""

    text: bytes
    at: float
    writer: Writer
    starts: bool


def read_line(line: bytes, at: float) -> Line:
    """Determine a line's writer from its tag and syslog header, and whether it starts a message."""
    origin, text = split_tag(line)
    text = without_colours(text)
    header: Header = NO_HEADER
    starts = read_head(text) is not None
    if not starts:
        header, text = strip_syslog_header(text.rstrip(b"\r\n"))
        starts = text.startswith((b"{", b"==> ")) or read_head(text) is not None
    return Line(line, at, (origin.cluster, origin.node, header.host, header.program, header.pid), starts)


def boundaries(lines: Sequence[Line], settled_before: float, started_before: float) -> list[int]:
    """Return the indices at which these lines may be divided without dividing a message.

    A writer's last message is incomplete until its last line is older than `settled_before`, or its first line older
    than `started_before`. `len(lines)` is among the indices if every message is complete; 0 never is.
    """
    ends, current = _ends(lines)
    for first in current.values():
        if lines[ends[first]].at > settled_before and lines[first].at > started_before:
            ends[first] = len(lines)
    return [index + 1 for index, end in enumerate(accumulate(ends, max)) if end <= index]


def _ends(lines: Sequence[Line]) -> tuple[list[int], dict[Writer, int]]:
    """Return each message's last line by its first line, and the first line of each writer's last message (indices)."""
    ends = list(range(len(lines)))
    current: dict[Writer, int] = {}
    for index, line in enumerate(lines):
        first = index if line.starts else current.get(line.writer, index)
        current[line.writer] = first
        ends[first] = index
    return ends, current
