"""Reading zstd files that may have been cut off."""

from __future__ import annotations

from io import RawIOBase
from typing import Any

import zstandard

# One block of 128 KiB can be four bytes: what comes out of one read stays below 128 MiB.
_INPUT_BYTES = 4096


class ZstdReader(RawIOBase):
    """The plain bytes of a zstd file of one or more frames.

    zstandard's own reader takes the end of a file that was cut off for the end of its data.

    Raises:
        EOFError: the file ends within a frame, or is damaged from here on.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._frame: Any = None
        self._compressed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        while not self._plain:
            compressed = self._compressed or self._file.read(_INPUT_BYTES)
            if not compressed and self._frame:
                raise EOFError("the file ends within a zstd frame")
            if not compressed:
                return 0
            try:
                self._plain = memoryview(self._decompress(compressed))
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from error
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _decompress(self, compressed: bytes) -> bytes:
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        plain: bytes = self._frame.decompress(compressed)
        self._compressed = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return plain
