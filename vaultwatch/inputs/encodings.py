"""Logs that PowerShell and editors have saved: UTF-16 and UTF-32 become UTF-8, and a byte order mark is removed."""

from __future__ import annotations

import codecs
import io
import re
from typing import Any

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_WITHOUT_MARK = ((re.compile(rb"(?:[\t -~]\0){4}"), "utf-16-le"), (re.compile(rb"(?:\0[\t -~]){4}"), "utf-16-be"))
_PIECE_BYTES = 64 * 1024
LONGEST_START = 8
"""How many bytes show the encoding."""


def as_utf_8(raw: Any) -> Any:
    """Return a stream of UTF-8: the same one, unless it begins with a mark, or like ASCII in UTF-16.

    Args:
        raw: A buffered stream.
    """
    start = raw.peek(LONGEST_START)[:LONGEST_START]
    if start.startswith(codecs.BOM_UTF8):
        raw.read(len(codecs.BOM_UTF8))
        return raw
    mark, name = encoding_of(start)
    raw.read(len(mark))
    return io.BufferedReader(_Decoded(raw, name)) if name else raw


def encoding_of(start: bytes) -> tuple[bytes, str]:
    """Return the mark that a text begins with, and its encoding; an empty name if it is neither UTF-16 nor UTF-32.

    A log begins with a character of ASCII: other bytes behind a mark are damaged, or hostile.
    """
    for mark, name in _MARKS.items():
        if start.startswith(mark) and _is_ascii(start[len(mark) :], name):
            return mark, name
    return b"", next((name for form, name in _WITHOUT_MARK if form.match(start)), "")


def _is_ascii(after: bytes, name: str) -> bool:
    """Return whether a text behind a mark begins with a character of ASCII, or is empty."""
    first = after.decode(name, "replace")[:1]
    return not first or (first.isascii() and (first.isprintable() or first.isspace()))


class _Decoded(io.RawIOBase):
    """The UTF-8 bytes of text in another encoding; what is no character becomes U+FFFD."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        from vaultwatch.inputs.mixed_encodings import decoder_of  # few logs are such

        self._decoder = decoder_of(name)
        self._plain = b""

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        while not self._plain:
            piece = self._file.read1(_PIECE_BYTES)
            self._plain = self._decoder.decode(piece, not piece).encode("utf-8", "replace")
            if not piece and not self._plain:
                return 0
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count
