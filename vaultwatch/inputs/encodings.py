"""Logs that PowerShell and editors have saved: UTF-16 and UTF-32 become UTF-8, and a byte order mark is removed."""

from __future__ import annotations

import codecs
import io
import re
from typing import Any, Protocol

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_WITHOUT_MARK = ((re.compile(rb"(?:[\t -~]\0){4}"), "utf-16-le"), (re.compile(rb"(?:\0[\t -~]){4}"), "utf-16-be"))
_PIECE_BYTES = 64 * 1024
_FEWEST = 24
"""Bytes: of fewer without a NUL, other scripts may be both. The shortest record is longer."""
_WITHOUT_NUL = re.compile(rb"[^\0]{%d,}" % _FEWEST)
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


class _Decodes(Protocol):
    """Decodes pieces of a text."""

    def decode(self, piece: bytes, final: bool = False, /) -> str:
        """Return the characters that end in a piece."""


class _Mixed:
    """Decodes UTF-16 in which there is UTF-8 that somebody has appended: enough bytes without a NUL that are UTF-8."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mark = codecs.BOM_UTF16_BE if name.endswith("be") else codecs.BOM_UTF16_LE
        self._wide, self._plain = codecs.getincrementaldecoder(name)("replace"), _plain_decoder()
        self._is_plain, self._held = False, b""

    def decode(self, piece: bytes, final: bool = False, /) -> str:
        """See `_Decodes`."""
        data, self._held = self._held + piece, b""
        found = list[str]()
        while data:
            text, data = (self._decode_plain if self._is_plain else self._decode_wide)(data, final)
            found.append(text)
        return "".join(found)

    def _decode_wide(self, data: bytes, final: bool) -> tuple[str, bytes]:
        """Return what is decoded up to UTF-8, and the rest from there on."""
        for run in _WITHOUT_NUL.finditer(data):
            start = next((at for at in _even(run.start(), run.end()) if _is_utf_8(data[at : at + _FEWEST])), -1)
            if start >= 0:
                self._is_plain, self._plain = True, _plain_decoder()
                return self._wide.decode(data[:start]), data[start:]
        end = len(data) if final else max(len(data) - _FEWEST, 0) & ~1
        self._held = data[end:]
        return self._wide.decode(data[:end], final), b""

    def _decode_plain(self, data: bytes, final: bool) -> tuple[str, bytes]:
        """Return what is decoded up to UTF-16, and the rest from there on."""
        at = data.find(b"\0")
        if at < 0:
            end = len(data) if final else max(len(data) - len(self._mark) - 1, 0)
            self._held = data[end:]
            return self._plain.decode(data[:end], final), b""
        end = at if self._mark == codecs.BOM_UTF16_BE else max(at - 1, 0)
        text = self._plain.decode(data[:end].removesuffix(self._mark), True)
        self._is_plain, self._wide = False, codecs.getincrementaldecoder(self._name)("replace")
        return text, data[end:]


def _even(start: int, end: int) -> range:
    return range(start + start % 2, end - _FEWEST + 1, 2)


def _is_utf_8(text: bytes) -> bool:
    """Return whether a piece of a text is UTF-8, of which the last character may be incomplete."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _plain_decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8-sig")("replace")


class _Decoded(io.RawIOBase):
    """The UTF-8 bytes of text in another encoding; what is no character becomes U+FFFD."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        is_mixed = name in ("utf-16-le", "utf-16-be")
        self._decoder: _Decodes = _Mixed(name) if is_mixed else codecs.getincrementaldecoder(name)("replace")
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
