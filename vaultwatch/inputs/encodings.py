"""Logs that PowerShell and editors have saved: UTF-16 becomes UTF-8, and a byte order mark is removed."""

from __future__ import annotations

import codecs
import io
from typing import Any

_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_PIECE_BYTES = 64 * 1024


def as_utf_8(raw: Any) -> Any:
    """Return a stream of UTF-8: the same one, unless it begins with a mark.

    Args:
        raw: A buffered stream.
    """
    start = raw.peek(3)[:3]
    if start == codecs.BOM_UTF8:
        raw.read(len(start))
        return raw
    name = _UTF_16.get(start[:2])
    if name is None or start == b"\xff\xfe\0":  # NUL as the first character: no text
        return raw
    raw.read(2)
    return io.BufferedReader(_Utf16Reader(raw, name))


class _Utf16Reader(io.RawIOBase):
    """The UTF-8 bytes of text in UTF-16; what is no character becomes U+FFFD."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(name)("replace")
        self._plain = b""

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        while not self._plain:
            piece = self._file.read1(_PIECE_BYTES)
            self._plain = self._decoder.decode(piece, final=not piece).encode("utf-8", "replace")
            if not piece and not self._plain:
                return 0
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count
