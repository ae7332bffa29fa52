"""Decompressed bytes of a file, recognised by its first bytes: gzip, zstd, bzip2 and xz, also one in another."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

CHUNK_BYTES = 256 * 1024  # with the lines and objects made of it, this stays in the cache of a core
_MAX_LAYERS = 3
_MAX_XZ_BYTES = 256 * 1024 * 1024
_INPUT_BYTES = 16 * 1024


def decompressed(raw: Any) -> tuple[Any, bool]:
    """Return a stream of the decompressed bytes, and whether they were compressed.

    Args:
        raw: A buffered stream.
    """
    layers = 0
    while layers < _MAX_LAYERS and (opened := _layer(raw)) is not None:
        raw, layers = opened, layers + 1
    return raw, layers > 0


def _layer(raw: Any) -> Any:
    magic = raw.peek(6)[:6]
    if magic[:2] == b"\x1f\x8b":
        import gzip

        return gzip.GzipFile(fileobj=raw, mode="rb")  # else it takes the mode of a file in it, which is a number
    if magic[:4] == b"\x28\xb5\x2f\xfd":
        from vaultwatch.reading.zstd_reader import ZstdReader

        return io.BufferedReader(ZstdReader(raw), CHUNK_BYTES)
    if magic[:3] == b"BZh" and magic[3:4].isdigit():
        import bz2

        return io.BufferedReader(_StreamsReader(raw, bz2.BZ2Decompressor), CHUNK_BYTES)
    if magic == b"\xfd7zXZ\0":
        import lzma

        make = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_MAX_XZ_BYTES)
        return io.BufferedReader(_StreamsReader(raw, make), CHUNK_BYTES)
    return None


class _StreamsReader(io.RawIOBase):
    """The bytes of consecutive bzip2 or xz streams. The standard library's files accept any demand for memory.

    Raises:
        EOFError: The file ends within a stream.
    """

    def __init__(self, file: Any, make: Callable[[], Any]) -> None:
        self._file, self._make = file, make
        self._stream = make()
        self._rest = b""
        self._within = False

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        plain = b""
        while not plain:
            if self._stream.eof and not self._next_stream():
                return 0
            if self._stream.needs_input and not self._rest:
                self._rest = self._file.read1(_INPUT_BYTES)
                if not self._rest:
                    return self._end()
            self._within = True
            plain = self._stream.decompress(self._rest, len(buffer))
            self._rest = b""
        buffer[: len(plain)] = plain
        return len(plain)

    def _next_stream(self) -> bool:
        """Begin the next stream; return whether there is one. Streams of xz may have NULs between them."""
        rest = self._stream.unused_data.lstrip(b"\0") or self._file.read1(_INPUT_BYTES).lstrip(b"\0")
        self._stream, self._rest, self._within = self._make(), rest, False
        return bool(rest)

    def _end(self) -> int:
        if self._within:
            raise EOFError("the file ends within a compressed stream")
        return 0
