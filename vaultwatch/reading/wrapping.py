"""Notice that the lines of a server log were wrapped, by a terminal that they were copied from or by a mail program.

A part of a wrapped line looks like a message without time and level, as banners are. What gives it away is the width:
its first word had no room at the end of the line before, and no line that could have been wrapped is wider.
"""

from __future__ import annotations

import sys

_NARROWEST = 50
"""Bytes: people wrap no logs at less; a few short lines before a banner reach no further."""
_WIDEST = 998
"""Bytes: the longest line of mail (RFC 5322), and more than terminals have; wider lines are those of a padded table."""
_TERMINALS = frozenset({80, 100, 120, 132, 160})
"""Bytes: the usual widths of terminals."""
_INDENTED = b"  "
"""How a further line of a message of several begins."""


class Wrapping:
    """Watches the lines of one log.

    Attributes:
        parts: How many lines could be parts of the message in the line before.
    """

    def __init__(self) -> None:
        self.parts = 0
        self._soft, self._is_soft = 0, False
        self._widest = self._previous = 0
        self._reach = self._narrowest = sys.maxsize
        self._in_message = False

    def note(self, line: bytes, *, opens: bool, continues: bool) -> None:
        """Note the next line.

        Args:
            line: The line.
            opens: Whether a message begins in it; of a banner and of whole JSON, no part can follow.
            continues: Whether it is of a message that has several lines.
        """
        width = len(line)
        if opens:
            self._in_message = not line.startswith(b"==> ") and not (line.startswith(b"{") and line.endswith(b"}"))
        elif not line.strip():
            self._in_message = False
        elif self._in_message and not continues and not line.startswith(_INDENTED):
            self.parts += 1
            self._soft += self._is_soft
            word = line.split(None, 1)[0]
            self._reach = min(self._reach, self._previous + 1 + len(word))
            self._narrowest = min(self._narrowest, self._previous)
        if width > self._widest and b" " in line.strip():  # a word alone has no room in any line
            self._widest = width
        self._previous, self._is_soft = width, line.endswith(b"=")

    @property
    def is_quoted_printable(self) -> bool:
        """Whether all lines that others continue end with the sign for that."""
        return self.parts > 0 and self._soft == self.parts

    @property
    def width(self) -> int:
        """The width, in bytes, at which lines were wrapped; 0 if none was.

        A single line behind the widest one can be anything, unless that is as wide as terminals are.
        """
        several = self.parts > 1 or (self.parts == 1 and self._widest in _TERMINALS and self.is_exact)
        return self._widest if several and _NARROWEST <= self._widest <= min(self._reach, _WIDEST) else 0

    @property
    def is_exact(self) -> bool:
        """Whether all lines that others continue have the width: they were wrapped within words."""
        return self._narrowest == self._widest
