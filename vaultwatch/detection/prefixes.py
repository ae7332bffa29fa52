"""Remove what is written before the entries of an audit log: the header of a syslog, or a device's `prefix`.

Vault's syslog device writes every entry behind a header, so that the index must read these as fast as others. Whether
what is before the `{` can begin a message of the server log is decided once for each form of it.
"""

from __future__ import annotations

from collections.abc import Callable

from vaultwatch.rules.remembered import Remembered

MAX_PREFIX_BYTES = 512
_EXACT_BYTES = 8  # a priority and a version
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
"""The forms of headers do not depend on which digits they have."""


class Prefixes:
    """Removes prefixes of entries, and leaves lines alone that could belong to a server log."""

    def __init__(self, opens_message: Callable[[bytes], bool]) -> None:
        """Make one that decides by this function, which returns whether a line opens a message of the server log."""
        self._opens_message = opens_message
        self._before_entries: Remembered[bytes, bool] = Remembered(self._is_before_an_entry, len)

    def remove(self, line: bytes) -> bytes:
        """Return the JSON in a line of an audit log, and any other line as it is.

        Args:
            line: A line, without a tag.
        """
        start = line.find(b'{"', 0, MAX_PREFIX_BYTES)
        if start <= 0:
            return line
        form = line[:_EXACT_BYTES] + line[_EXACT_BYTES:start].translate(_DIGITS)
        return line[start:] if self._before_entries[form[:start]] else line

    def _is_before_an_entry(self, form: bytes) -> bool:
        if form.startswith((b"@", b"<json:")) or any(sign in form for sign in (b"{", b"\x1b", b"\0")):
            return False
        is_closed = form.count(b"[") == form.count(b"]") and form.count(b'"') % 2 == 0
        return is_closed and not self._opens_message(form + b'{"')
