r"""Lines of a log in quotes: each a text of JSON, or what strace shows of the calls that have written them.

    "2026-11-21T07:29:41Z [INFO]  core: vault is sealed"
    [pid 812] write(2, "2026-11-21T07:29:41Z [INFO]  core: vault is sealed\n", 85) = 85

Once a text in quotes was a record, every further one is a line, if the same is before it, apart from numbers.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.hclog import unescape
from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.reading.unclear import is_banner
from vaultwatch.unwrapping.repeats import shows_record

_IN_QUOTES = re.compile(rb'([^"{=|]{0,256})"([^"\\]*(?:\\.[^"\\]*)*)"[^"{A-Za-z:]{0,64}', re.DOTALL)
_BEGINS_RECORD = re.compile(rb'\{\s{0,64}"|' + HEAD)
_BEGINS_MESSAGE = re.compile(HEAD)
_IS_SEVERAL = re.compile(rb'"[ \t]?[,;\t|]|(?s:.)' + HEAD)
"""Cells of a row, or messages that follow each other."""
_NUMBER = re.compile(rb"\d+")
_MOST_FORMS = 16


class Quoted:
    """Finds the lines in quotes of one log, and remembers what is before them."""

    def __init__(self) -> None:
        """Know no line in quotes."""
        self._forms: set[bytes] = set()
        self._is_raw = False

    @property
    def is_known(self) -> bool:
        """Whether a text in quotes was a record."""
        return bool(self._forms)

    def is_line(self, text: bytes) -> bool:
        """Return whether a text is known to be a line in quotes."""
        return self.is_known and text.rstrip(b"\r\n").endswith(b'"') and self.lines_in(text) is not None

    def lines_in(self, text: bytes) -> list[bytes] | None:
        """Return the lines in the quotes of a line; None if they are not known to hold any.

        Args:
            text: A line; what is around it may be stripped.
        """
        if text.startswith(b"{") or b'"' not in text[:257] or not (parts := self._divided(text.strip())):
            return None
        before, content = parts
        lines = [line for line in content.split(b"\n") if line.strip()]
        form = _NUMBER.sub(b"0", before)
        if form not in self._forms:
            if len(self._forms) >= _MOST_FORMS or _BEGINS_MESSAGE.search(before) or not any(map(_is_record, lines)):
                return None
            self._forms.add(form)
        return lines

    def _divided(self, text: bytes) -> tuple[bytes, bytes] | None:
        """Return what is before a text in quotes, and the text."""
        if found := _IN_QUOTES.fullmatch(text):
            return found[1], found[2] if self._is_raw and not found[1] else _unescaped(found[2])
        if len(text) < 2 or not (text.startswith(b'"') and text.endswith(b'"')):
            return None
        content = text[1:-1]
        is_known = b"" in self._forms or _BEGINS_MESSAGE.match(content) or is_banner(content)
        if not is_known or content.startswith(b"{") or _IS_SEVERAL.search(content):
            return None
        self._is_raw = True  # in JSON its quotes would be escaped
        return b"", content


def _is_record(text: bytes) -> bool:
    return is_banner(text) or (_BEGINS_RECORD.match(text) is not None and shows_record(text))


def _unescaped(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    try:
        return str(msgspec.json.decode(b'"%s"' % text)).encode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")
