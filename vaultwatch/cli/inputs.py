"""Open log files for reading: plain, gzip or zstd, recognised by their first bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

CHUNK_BYTES = 256 * 1024  # with the lines and objects made of it, this stays in the cache of a core


class Unreadable(Exception):
    """A file cannot be read, or not to its end."""


@contextmanager
def reading() -> Iterator[None]:
    """Raise errors of reading as `Unreadable`: unlike errors of writing, they do not end the program."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(getattr(error, "strerror", None) or f"damaged: {error}") from error


def open_log(stack: ExitStack, name: str) -> tuple[Any, int]:
    """Open a file and return its decompressed bytes and its size, 0 if that is not known."""
    path: int | str = 0 if name == "-" else name
    raw: Any = open(path, "rb", buffering=CHUNK_BYTES, closefd=name != "-")  # noqa: SIM115  the stack closes it
    stack.enter_context(raw)
    size = 0 if name == "-" else Path(name).stat().st_size
    magic = raw.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        import gzip

        return stack.enter_context(gzip.GzipFile(fileobj=raw)), 0
    if magic == b"\x28\xb5\x2f\xfd":
        import io

        from vaultwatch.reading.zstd_reader import ZstdReader

        return stack.enter_context(io.BufferedReader(ZstdReader(raw), CHUNK_BYTES)), 0
    return raw, size


def chunks(stream: Any) -> Iterator[tuple[bytes, int]]:
    """Yield the bytes of an open log in chunks of at most 256 KiB, each with the number of bytes up to its end.

    Raises:
        Unreadable: The rest cannot be read.
    """
    position = 0
    while True:
        with reading():
            chunk = stream.read1(CHUNK_BYTES)
        if not chunk:
            return
        position += len(chunk)
        yield chunk, position
