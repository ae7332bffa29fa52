"""Chunks of bytes -> whole lines."""

from __future__ import annotations

from collections.abc import Iterator

Block = bytes | bytearray

MAX_LINE_BYTES = 100 * 1024 * 1024
"""syslog-ng passes on messages of up to 96 MiB (log-msg-size); a longer line is split into pieces of this size."""


class LineReader:
    """Splits chunks into blocks of whole lines; the start of a line is kept once, however long the line grows."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._started = bytearray()
        self._max_line_bytes = max_line_bytes

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """Yield the lines that the chunk completes: one that started earlier alone, then the others in one block."""
        whole = chunk.rfind(b"\n") + 1
        start = 0
        if self._started:
            start = chunk.find(b"\n") + 1
            self._started += chunk[:start] if whole else chunk
            if whole or len(self._started) >= self._max_line_bytes:
                yield from self.rest()
        elif not whole:
            self._started += chunk
        if start < whole:
            yield chunk[start:whole] if start or whole < len(chunk) else chunk
        if whole:
            self._started += chunk[whole:]

    def rest(self) -> Iterator[Block]:
        """Yield a line that has no newline yet: at the end of the input, the last one."""
        started, self._started = self._started, bytearray()
        if started:
            yield started
