"""Decompressed bytes of a file, recognised by its first bytes: gzip, zstd, bzip2 and xz, also one in another."""

from __future__ import annotations

import io
import zlib
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
        return io.BufferedReader(_StreamsReader(raw, _Gzip, magic[:2]), CHUNK_BYTES)
    if magic[:4] == b"\x28\xb5\x2f\xfd":
        from vaultwatch.reading.zstd_reader import ZstdReader

        return io.BufferedReader(ZstdReader(raw), CHUNK_BYTES)
    if magic[:3] == b"BZh" and magic[3:4].isdigit():
        import bz2

        return io.BufferedReader(_StreamsReader(raw, bz2.BZ2Decompressor, magic[:3]), CHUNK_BYTES)
    if magic == b"\xfd7zXZ\0":
        import lzma

        make = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_MAX_XZ_BYTES)
        return io.BufferedReader(_StreamsReader(raw, make, magic), CHUNK_BYTES)
    return None


class _Gzip:
    """A decompressor of one member of gzip, as `bz2` and `lzma` have them for their streams."""

    def __init__(self) -> None:
        self._member, self._is_full = zlib.decompressobj(16 + zlib.MAX_WBITS), False

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        """What is behind its end."""
        return self._member.unused_data

    @property
    def needs_input(self) -> bool:
        """Whether more than was given is needed."""
        return not (self._member.unconsumed_tail or self._is_full)

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return at most so many bytes of what is in the data, and in what is left of the data before."""
        plain = self._member.decompress(self._member.unconsumed_tail + data, most)
        self._is_full = len(plain) == most
        return plain


class _StreamsReader(io.RawIOBase):
    """The bytes of consecutive streams of gzip, bzip2 or xz, and of a text that was appended to them as it is.

    The standard library's files accept any demand for memory, or end at such a text.

    Raises:
        EOFError: The file ends within a stream.
        ValueError: Behind a stream are bytes that are neither a stream nor text.
    """

    def __init__(self, file: Any, make: Callable[[], Any], magic: bytes) -> None:
        self._file, self._make, self._magic = file, make, magic
        self._stream = make()
        self._rest = b""
        self._within = self._is_plain = False

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        plain = b""
        while not plain:
            if self._is_plain or (self._stream.eof and not self._next_stream()):
                data = self._rest or self._file.read1(_INPUT_BYTES)
                plain, self._rest = data[: len(buffer)], data[len(buffer) :]
                break
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
        """Begin the next stream; return whether there is one. Streams may have NULs between them."""
        rest, more = self._stream.unused_data.lstrip(b"\0"), b"more"
        while len(rest) < len(self._magic) and more:
            more = self._file.read1(_INPUT_BYTES)
            rest = (rest + more).lstrip(b"\0")
        self._stream, self._rest, self._within = self._make(), rest, False
        self._is_plain = not rest.startswith(self._magic)
        if self._is_plain and _is_binary(rest):
            raise ValueError("behind the compressed data are bytes that are neither compressed nor text")
        return not self._is_plain

    def _end(self) -> int:
        if self._within:
            raise EOFError("the file ends within a compressed stream")
        return 0


def _is_binary(rest: bytes) -> bool:
    from vaultwatch.inputs.rejects import is_binary

    return is_binary(rest)
