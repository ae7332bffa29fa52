"""Hold what is written over several lines: parts of split lines, and objects over many lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vaultwatch.reading.records import Rejected
from vaultwatch.unwrapping.assembly import Assembly

_MAX_HELD = 16
SHORTEST_PART = 400
"""Bytes: syslog over UDP may cut at 480 with the header (RFC 5424), most programs at 1,024 or more."""
PRETTY = b""
"""The key of an object over many lines; parts of split lines have the name of the stream that they are in."""


class Piece(NamedTuple):
    """A line to read, or one to reject, and the number of the line in which it begins."""

    line: bytes | Rejected
    number: int


class SplitLines(dict[bytes, Assembly]):
    """The parts that are held of one log, by their streams. They are bounded in bytes, lines and streams."""

    def hold(self, key: bytes, part: bytes, line: bytes, number: int) -> Assembly:
        """Hold a part, and return it with those before it.

        Args:
            key: The stream.
            part: The part.
            line: The line that it is from.
            number: The number of the line.
        """
        held = self.setdefault(key, Assembly(number))
        held.add(part, line)
        return held

    def begin(self, key: bytes, part: bytes, line: bytes, number: int) -> list[Piece]:
        """Hold the first part of a line, and return what is given up for it."""
        given_up = self.give_up(key) if key in self else []
        self.hold(key, part, line, number)
        return given_up + self.give_up_oldest()

    def interrupt(self) -> list[Piece]:
        """Give up an object over many lines, because a line of another kind follows; return its lines."""
        held = self.pop(PRETTY, None)
        return [Piece(line, held.number + place) for place, line in enumerate(held.lines)] if held else []

    def give_up(self, key: bytes) -> list[Piece]:
        """Give up the parts of a stream."""
        if key == PRETTY:
            return self.interrupt()
        held = self.pop(key)
        reason = "a part of a split line: its other parts are missing"
        return [Piece(Rejected(b"\n".join(line.rstrip(b"\r\n") for line in held.lines), reason), held.number)]

    def give_up_oldest(self) -> list[Piece]:
        """Give up the oldest parts if there are too many."""
        return self.give_up(next(iter(self))) if len(self) > _MAX_HELD else []

    def flush(self) -> Iterator[Piece]:
        """Give up everything, at the end of the log."""
        yield from self.interrupt()
        for key in list(self):
            yield from self.give_up(key)
