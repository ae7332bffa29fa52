"""Split chunks of bytes into whole lines."""

from __future__ import annotations

from collections.abc import Iterator

Block = bytes | bytearray

MAX_LINE_BYTES = 100 * 1024 * 1024
"""syslog-ng passes on messages of up to 96 MiB (log-msg-size); a longer line is split into pieces of this size."""


class LineReader:
    """Splits chunks into blocks of whole lines; the beginning of a line is copied once, however long it grows."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._started = bytearray()
        self._max_line_bytes = max_line_bytes

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """Yield the lines that the chunk completes: first one that began in an earlier chunk, then all others."""
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
        """Yield the last line of the input if it has no newline."""
        started, self._started = self._started, bytearray()
        if started:
            yield started
