"""Remove what is nested deeper than any decoder can skip, in time linear in the bytes, whatever they are.

Go reads and writes JSON nested 10,000 deep, so a line from Vault is not nested deeper than that. Such a line has been
forged on a node or on the log server, and must not take more time than any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, count
from operator import gt

from vaultwatch.reading.budget import MAX_DEPTH

MAX_SKIPPED_DEPTH = 1_000
"""Only what is at least so deep is removed: a value that is removed has hundreds of bytes, so there are not many."""
_TOO_DEEP = b'"[left out: nested too deeply]"'
_BLOCK_BYTES = 512
"""Less than the levels between both limits."""
_OPENING, _CLOSING = b"{[", b"}]"
_WITHOUT_BRACKETS = bytes.maketrans(_OPENING + _CLOSING, b"    ")
_CHANGES = bytes(1 + (code in _OPENING) - (code in _CLOSING) for code in range(256))
"""One more than each byte changes the depth."""


def without_depths(text: bytes | bytearray) -> bytearray | None:
    """Return JSON without values so deep that they cannot be skipped; None if its brackets are not balanced.

    Such a value is replaced, from `MAX_DEPTH` downwards, by a marker of the same size.

    Args:
        text: JSON, of any depth.
    """
    cuts = _Cuts(bytearray(text))
    for block in _structure(text):
        cuts.read(block)
    return cuts.kept if cuts.depth == 0 else None


def is_too_deep(text: bytes) -> bool:
    """Return whether JSON has more levels of objects and lists than `MAX_DEPTH`, without decoding it.

    Removing a byte takes a quarter of the time of counting it, on CPython 3.11. A line with more closing brackets than
    `MAX_DEPTH` is rare.
    """
    if 2 * len(text) - len(text.replace(b"}", b"")) - len(text.replace(b"]", b"")) <= MAX_DEPTH:
        return False
    depth = 0
    for block in _structure(text):
        opening, closing = block.count(b"{") + block.count(b"["), block.count(b"}") + block.count(b"]")
        if depth + opening > MAX_DEPTH:
            changes = accumulate(block.translate(_CHANGES))
            if any(map(gt, changes, count(MAX_DEPTH + 1 - depth))):
                return True
        depth += opening - closing
    return False


class _Cuts:
    """Replaces values that are too deep, block by block."""

    def __init__(self, kept: bytearray) -> None:
        self.kept = kept
        self.depth = 0
        self._at = 0
        self._start = 0  # behind the last byte at which the depth was below `MAX_DEPTH`
        self._cuts = False

    def read(self, block: bytes) -> None:
        """Read the next block, which has no brackets in its texts."""
        opening, closing = block.count(b"{") + block.count(b"["), block.count(b"}") + block.count(b"]")
        lowest, highest, after = self.depth - closing, self.depth + opening, self.depth + opening - closing
        if highest >= MAX_SKIPPED_DEPTH and 0 in self._below(MAX_SKIPPED_DEPTH, block):
            self._cuts = True  # no byte of this block is at a depth below `MAX_DEPTH`
        elif lowest < MAX_DEPTH and (self._cuts or after >= MAX_DEPTH):
            self._read_exactly(block)
        self.depth = after
        self._at += len(block)
        if after < MAX_DEPTH:
            self._start = self._at

    def _read_exactly(self, block: bytes) -> None:
        """Find where a value that is too deep ends, and where the next one could begin."""
        shallow = self._below(MAX_DEPTH, block)
        if self._cuts and (first := shallow.find(1)) >= 0:
            self._cut(self._at + first + 1)
            self._cuts = False
        if not self._cuts and (last := shallow.rfind(1)) >= 0:
            self._start = self._at + last + 1

    def _below(self, limit: int, block: bytes) -> bytes:
        """Return for each byte of a block whether the depth behind it is below a limit."""
        return bytes(map(gt, count(limit - self.depth + 1), accumulate(block.translate(_CHANGES))))

    def _cut(self, end: int) -> None:
        self.kept[self._start : end] = _TOO_DEEP.ljust(end - self._start)


def _structure(text: bytes | bytearray) -> Iterator[bytes]:
    """Divide JSON into blocks, with blanks in place of the brackets in its texts."""
    # No escape hides a quote any more, and positions are the same.
    bare = bytes(text).replace(b"\\\\", b"__").replace(b'\\"', b"__")
    in_text = False
    for start in range(0, len(bare), _BLOCK_BYTES):
        parts = bare[start : start + _BLOCK_BYTES].split(b'"')
        inside = slice(0 if in_text else 1, None, 2)
        if texts := parts[inside]:
            parts[inside] = b'"'.join(texts).translate(_WITHOUT_BRACKETS).split(b'"')
        in_text ^= len(parts) % 2 == 0
        yield b'"'.join(parts)
