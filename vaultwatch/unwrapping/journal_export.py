r"""The fields of journald's export format: what `journalctl -o export` prints, and systemd-journal-remote sends.

    __CURSOR=s=1a;i=2b
    MESSAGE=2026-11-21T07:29:41Z [INFO]  core: vault is sealed
    MESSAGE                                        a value with other bytes than text, or with line ends:
    \x12\0\0\0\0\0\0\0panic: x\ngoroutine 1        its size in 8 bytes is before it

https://systemd.io/JOURNAL_EXPORT_FORMATS/
"""

from __future__ import annotations

import re

_FIRST, _MESSAGE = b"__CURSOR=", b"MESSAGE"
_FIELD = re.compile(rb"_?_?[A-Z][A-Z0-9_]{0,64}=")
_NAME = re.compile(rb"_?_?[A-Z][A-Z0-9_]{1,64}")
_VERBOSE = re.compile(rb"[A-Z][a-z]{2} \d{4}-[^\[{]{1,64} \[s=[0-9a-f]{1,64};i=")  # journalctl -o verbose
_SIZE = 8
_MOST = 64 * 1024 * 1024
"""Bytes of a value: journald sends less, and what is larger is none."""


class JournalExport:
    """Reads the fields of one log.

    Attributes:
        is_open: Whether the first field of an entry was read.
        is_in_value: Whether the next line is of a value whose size is before it.
    """

    def __init__(self) -> None:
        """Know no entry."""
        self.is_open = self.is_in_value = False
        self._is_message = False
        self._size = b""
        self._left = 0

    def message_in(self, text: bytes) -> bytes | None:
        """Return the message in a field; None if it is another one."""
        return text[len(_MESSAGE) + 1 :] if self.is_open and text.startswith(_MESSAGE + b"=") else None

    def is_field(self, text: bytes) -> bool:
        """Return whether a line is a field without a message, or the name of one whose value follows."""
        begins = text.startswith(_FIRST) or _VERBOSE.match(text) is not None
        self.is_open = self.is_open or begins
        if not self.is_open or begins or _FIELD.match(text):
            return self.is_open
        if not _NAME.fullmatch(text):
            return False
        self.is_in_value, self._is_message, self._size, self._left = True, text == _MESSAGE, b"", 0
        return True

    def line_of_value(self, line: bytes) -> bytes:
        """Return the line of the message in a line of a value; b"" if it is another value.

        Args:
            line: The line with its end.
        """
        if len(self._size) < _SIZE:
            taken = _SIZE - len(self._size)
            self._size, line = self._size + line[:taken], line[taken:]
            if len(self._size) < _SIZE:  # a byte of it is that of a line end
                return b""
            self._left = int.from_bytes(self._size, "little")
        content = line[: self._left]
        self._left -= len(content)
        self.is_in_value = 0 < self._left <= _MOST
        return content if self._is_message else b""
