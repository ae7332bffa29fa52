"""Divide a line at what separates records in place of line ends."""

from __future__ import annotations

import re

from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.unwrapping.objects import is_object

_FRAME = re.compile(rb"(\d{1,7}) (?=<\d{1,3}>)")
_RECORD_AFTER_CR = re.compile(rb"\r(?:[^\r{]{0,120} )?(?:\{\"|" + HEAD + rb")")  # others are of progress bars
_SEPARATORS = (b"\0", b"\f", b"\v", b"\x1e", b"\x1f", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")
_SEPARATED = re.compile(rb"(" + b"|".join(_SEPARATORS) + rb")[ \t]{0,8}(?:\{\"|" + HEAD + rb")")
"""What separates records in the place of a line end: hclog and JSON of Go escape it in texts."""


def divided(text: bytes) -> list[bytes]:
    """Return the lines in a line that something else than line ends separates; none if it is one."""
    if _RECORD_AFTER_CR.search(text):
        return text.split(b"\r")
    has_other = any(separator in text for separator in _SEPARATORS)  # far faster than the pattern
    if has_other and (found := _SEPARATED.search(text)) and not is_object(text):
        return text.split(found[1])
    frames = _frames(text) if _FRAME.match(text) else []
    return frames if len(frames) > 1 else []


def _frames(text: bytes) -> list[bytes]:
    """Return the messages that syslog over TCP has divided by their lengths (RFC 6587); none if it has not."""
    found, position = list[bytes](), 0
    while frame := _FRAME.match(text, position):
        position = frame.end() + int(frame[1])
        found.append(text[frame.end() : position])
    return found if position >= len(text) else []
