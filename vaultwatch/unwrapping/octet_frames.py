"""Divide a log into the frames of syslog over TCP that begin with the count of their bytes (RFC 6587).

    98 <30>1 2026-03-01T10:00:09Z v vault 812 - - 2026-03-01T10:00:00Z [ERROR] audit: backend failed:
      error=broken pipe45 <30>1 2026-03-01T10:00:09Z v vault 812 - - ==> Vault

A frame may have several lines, and the next one begins where its bytes end, with or without a line end.
"""

from __future__ import annotations

import re

_BEGINS = re.compile(rb"(\d{1,8}) (?=<\d{1,3}>)")


def begins_as_frames(head: bytes) -> bool:
    """Return whether a log begins with a frame.

    Args:
        head: Its first bytes.
    """
    return _BEGINS.match(head) is not None


class OctetFrames:
    """Divides the lines of one log. A line that begins a frame does so even if the one before it is not complete."""

    def __init__(self) -> None:
        """Begin in front of a frame."""
        self._left = 0

    def parts_of(self, line: bytes) -> list[bytes]:
        """Return the parts of a line that are of different frames, without the counts.

        Args:
            line: A line with its line end, which is a part of a frame like any other byte.
        """
        parts, at = list[bytes](), 0
        if _BEGINS.match(line):
            self._left = 0
        while at < len(line):
            if self._left <= 0:
                if not (begins := _BEGINS.match(line, at)):
                    return [*parts, line[at:]] if line[at:].strip() else parts
                self._left, at = int(begins[1]), begins.end()
            part = line[at : at + self._left]
            self._left -= len(part)
            at += len(part)
            parts.append(part)
        return parts
