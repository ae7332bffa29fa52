"""How the rejected entries of a log were torn: cut at one length, or mixed with others of another program.

A collector with a limit cuts every line at it; what is beyond it is in no line. Two programs that write to one file at
the same time write blocks into each other's lines, which then begin and end like entries and are broken in between.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.records import Rejected

_BEGINS = re.compile(rb'[^{]{0,256}\{"(?:time|type|auth|request|@level|@message|@module|@timestamp)":')
_BROKEN = re.compile("broken JSON: (?!cut off)")
_TORN = re.compile("broken JSON|truncated JSON|a part of|its end is missing")
_MOST_LENGTHS = 1_000
_FEWEST = 2
_SHARE = 1 / 2
"""Of the rejected lines: the others are parts of further torn lines. Of wrapped lines at most half are beginnings."""


class Torn(msgspec.Struct):
    """What is counted of the rejected lines of a log.

    Attributes:
        lines: How many there are.
        lengths: How many begin like a record and have no end, by their bytes.
        mixed: How many begin and end like an entry and are broken in between.
        is_in_lines: Whether one of these is a line of the log, and no part of one.
    """

    lines: int = 0
    lengths: dict[int, int] = {}
    mixed: int = 0
    is_in_lines: bool = False

    def note(self, line: Rejected) -> None:
        """Count a rejected line."""
        self.lines += 1
        if not _TORN.match(line.reason) or not _BEGINS.match(line.raw):
            return
        self.is_in_lines = self.is_in_lines or not line.whole
        if _BROKEN.match(line.reason) and line.raw.rstrip().endswith(b"}"):
            self.mixed += 1
        elif (length := len(line.raw)) in self.lengths or len(self.lengths) < _MOST_LENGTHS:
            self.lengths[length] = self.lengths.get(length, 0) + 1

    def add(self, other: Torn) -> None:
        """Add what was counted elsewhere of the same log."""
        self.is_in_lines = self.is_in_lines or other.is_in_lines
        self.lines += other.lines
        self.mixed += other.mixed
        for length, count in other.lengths.items():
            self.lengths[length] = self.lengths.get(length, 0) + count

    @property
    def cut_at(self) -> int:
        """At how many bytes lines were cut; 0 if none was."""
        longest = max(self.lengths, default=0)
        return longest if self._is_most(self.lengths.get(longest, 0)) else 0

    @property
    def kind(self) -> str:
        """How most of them were torn: the same text for logs of which people can do the same; "" if they were not."""
        return f"cut at {self.cut_at}" if self.cut_at else "mixed" if self._is_most(self.mixed) else ""

    def _is_most(self, count: int) -> bool:
        return count >= _FEWEST and count > _SHARE * self.lines
