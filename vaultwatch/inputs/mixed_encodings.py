"""Decode UTF-16 in which there is UTF-8 that somebody has appended, as shells do to a log of PowerShell."""

from __future__ import annotations

import codecs
import re
from typing import Protocol

_FEWEST = 24
"""Bytes: of fewer without a NUL, other scripts may be both. The shortest record is longer."""
_WITHOUT_NUL = re.compile(rb"[^\0]{%d,}" % _FEWEST)


class Decodes(Protocol):
    """Decodes pieces of a text."""

    def decode(self, piece: bytes, final: bool = False, /) -> str:
        """Return the characters that end in a piece."""


def decoder_of(name: str) -> Decodes:
    """Return what decodes a text in an encoding; what is no character becomes U+FFFD."""
    return _Mixed(name) if name in ("utf-16-le", "utf-16-be") else codecs.getincrementaldecoder(name)("replace")


class _Mixed:
    """Decodes UTF-16 in which there is UTF-8 that somebody has appended: enough bytes without a NUL that are UTF-8."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mark = codecs.BOM_UTF16_BE if name.endswith("be") else codecs.BOM_UTF16_LE
        self._wide, self._plain = codecs.getincrementaldecoder(name)("replace"), _plain_decoder()
        self._is_plain, self._held = False, b""

    def decode(self, piece: bytes, final: bool = False, /) -> str:
        """See `Decodes`."""
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
