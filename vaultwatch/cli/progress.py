"""How much of a file has been read, on one line of stderr."""

from __future__ import annotations

import sys
import time

from vaultwatch.printable import one_line


class Progress:
    """Shows how much of a file has been read, at most five times a second."""

    def __init__(self, name: str, size: int) -> None:
        """Begin a file.

        Args:
            name: Its name.
            size: Its bytes; 0 if they are not known.
        """
        self._name, self._size, self._next = one_line(name, 60), size, 0.0

    def line(self, position: int) -> str:
        """Return in words how many bytes have been read."""
        return f"{self._name}: {self._done(position)} read"

    def show(self, position: int) -> None:
        """Show how many bytes have been read."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.2
        bar = "#" * (position * 30 // self._size) if self._size else ""
        sys.stderr.write(f"\r\x1b[K{self._name}  {bar:30.30}  {self._done(position):>5}")
        sys.stderr.flush()

    def _done(self, position: int) -> str:
        return f"{position * 100 // self._size} %" if self._size else f"{position / 1e6:,.0f} MB"

    def clear(self) -> None:
        """Remove the line."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
