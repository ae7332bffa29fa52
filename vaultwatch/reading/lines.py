r"""Split bytes into lines as they arrive: at `\n` only, because a JSON line may contain U+2028 and U+0085."""

from __future__ import annotations

from io import BytesIO

# syslog-ng passes on at most 96 MiB (log-msg-size); of what Vault writes beyond that, `cut_off` reads the beginning.
MAX_LINE_BYTES = 128 * 1024 * 1024


class LineSplitter:
    """Splits chunks into lines and keeps the incomplete last line for the next chunk.

    It is kept in pieces, so that a long line takes time linear in its length. A line longer than `max_line_bytes` is
    returned in pieces of about that size: memory is bounded, and no byte is lost.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._pieces: list[bytes] = []
        self._held = 0

    def push(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, each with its newline."""
        lines = BytesIO(chunk).readlines()
        rest = b"" if chunk.endswith(b"\n") or not lines else lines.pop()
        if lines and self._pieces:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces, self._held = [], 0
        return lines + self._hold(rest) if rest else lines

    def flush(self) -> list[bytes]:
        """Return the last line if it had no newline, else nothing."""
        rest = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return [rest] if rest else []

    def _hold(self, piece: bytes) -> list[bytes]:
        self._pieces.append(piece)
        self._held += len(piece)
        return self.flush() if self._held > self._max else []
