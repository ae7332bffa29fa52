"""Bytes from a pipe, as whole lines."""

from __future__ import annotations

from collections.abc import Iterator

Block = bytes | bytearray

MAX_LINE_BYTES = 100 * 1024 * 1024
"""syslog-ng hands on messages of up to 96 MiB (log-msg-size); a longer line goes on in pieces of this size."""


class LineReader:
    """Gathers chunks into blocks of whole lines; a line's beginning is kept once, however long it grows."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._begun = bytearray()
        self._max_line_bytes = max_line_bytes

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """Give the lines that the chunk completes: one begun earlier by itself, then all others in one block."""
        whole = chunk.rfind(b"\n") + 1
        begins = 0
        if self._begun:
            begins = chunk.find(b"\n") + 1
            self._begun += chunk[:begins] if whole else chunk
            if whole or len(self._begun) >= self._max_line_bytes:
                yield from self.rest()
        elif not whole:
            self._begun += chunk
        if begins < whole:
            yield chunk[begins:whole] if begins or whole < len(chunk) else chunk
        if whole:
            self._begun += chunk[whole:]

    def rest(self) -> Iterator[Block]:
        """Give what was begun and has no newline: at the end of the input, the last line."""
        begun, self._begun = self._begun, bytearray()
        if begun:
            yield begun
