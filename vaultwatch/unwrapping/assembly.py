"""Put a JSON object together that is written in several parts, and notice where it ends."""

from __future__ import annotations

_BLOCK_BYTES = 64 * 1024
MAX_BYTES = 64 * 1024 * 1024
MAX_PARTS = 1_000_000


class Assembly:
    """The parts of an object so far.

    Each byte is looked at once, in blocks: counting takes the time and the memory of one block, whatever a part holds.

    Attributes:
        lines: The lines that the parts are from.
        number: The number of the first.
    """

    def __init__(self, number: int) -> None:
        """Begin without a part.

        Args:
            number: The number of the line in which the object begins.
        """
        self.lines: list[bytes] = []
        self.number = number
        self._parts: list[bytes] = []
        self._bytes = self._depth = 0
        self._in_text = False
        self._escape = b""

    @property
    def whole(self) -> bool:
        """Whether all brackets are closed."""
        return self._depth <= 0 and not self._in_text

    @property
    def too_large(self) -> bool:
        """Whether it has more parts, or more bytes, than are put together."""
        return self._bytes > MAX_BYTES or len(self._parts) > MAX_PARTS

    def add(self, part: bytes, line: bytes) -> None:
        """Add a part.

        Args:
            part: The part.
            line: The line that it is from.
        """
        self.lines.append(line)
        self._parts.append(part)
        self._bytes += len(line)
        for start in range(0, len(part), _BLOCK_BYTES):
            self._count(part[start : start + _BLOCK_BYTES])

    def text(self) -> bytes:
        """Return all parts in one piece."""
        return b"".join(self._parts)

    def _count(self, block: bytes) -> None:
        """Count the brackets outside of texts. A backslash at the end escapes the first byte of the next block."""
        bare = (self._escape + block).replace(b"\\\\", b"")
        self._escape = b"\\" if bare.endswith(b"\\") else b""
        pieces = bare.replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[self._in_text :: 2])
        self._in_text ^= len(pieces) % 2 == 0
        self._depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
