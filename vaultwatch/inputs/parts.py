"""Divide the logs that a user names, so that several processes can read them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from vaultwatch.inputs import STDIN
from vaultwatch.inputs.decompression import CHUNK_BYTES
from vaultwatch.inputs.errors import Shortened, Unreadable, reading
from vaultwatch.inputs.logs import HEAD_BYTES, Log, Opening, logs_in

PART_BYTES = 64 * CHUNK_BYTES
"""A multiple of a chunk: lines that are longer than any program accepts are cut where chunks end."""


class Part(NamedTuple):
    """A file, or those lines of a plain one that begin in a range of its bytes.

    Attributes:
        name: A path, or "-" for stdin.
        size: Its bytes; 0 if it is no file, or empty.
        start: Where the range begins.
        end: Where it ends; None for the end of the file.
        opening: Opens it, if it is no file; then it is whole.
        is_named: Whether the user named it, and not a folder or a pattern.
    """

    name: str
    size: int
    start: int = 0
    end: int | None = None
    opening: Opening | None = None
    is_named: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file, which may hold several logs."""
        return self.is_first and self.is_last

    @property
    def is_first(self) -> bool:
        """Whether a log begins with it."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether a log ends with it."""
        return self.end is None


def parts_of(name: str, divides: Callable[[bytes], bool], part_bytes: int) -> list[Part]:
    """Return the parts of a file: more than one if it is large and plain.

    Args:
        name: A path, or "-" for stdin.
        divides: Returns whether a log that begins with these bytes can be divided.
        part_bytes: The bytes of a part, a multiple of a chunk.
    """
    try:
        size = Path(name).stat().st_size if name != STDIN and Path(name).is_file() else 0
        if size < 2 * part_bytes or not _is_plain(name, size, divides):
            return [Part(name, size)]
    except (OSError, ValueError, Unreadable):  # reported when it is read
        return [Part(name, 0)]
    starts = range(0, size - part_bytes // 2 + 1, part_bytes)
    ends: Iterable[int | None] = (*starts[1:], None)
    return [Part(name, (end or size) - start, start, end) for start, end in zip(starts, ends, strict=True)]


def _is_plain(name: str, size: int, divides: Callable[[bytes], bool]) -> bool:
    with Path(name).open("rb") as file:
        head = file.read(HEAD_BYTES)
    log = next(logs_in(name), None)
    return log is not None and (log.name, log.size, log.head) == (name, size, head) and divides(head)


def logs_of(part: Part) -> Iterator[Log]:
    """Open a part, and yield each log in it; one is open until the next.

    Raises:
        Unreadable: It cannot be opened or read.
    """
    if part.is_whole:
        yield from logs_in(part.name, part.opening)
        return
    with ExitStack() as stack:
        with reading():
            file = stack.enter_context(Path(part.name).open("rb", buffering=0)).fileno()
            head = os.pread(file, HEAD_BYTES, 0) if part.is_first else b""
        yield Log(part.name, head, part.size, lambda: _lines(file, part))


def _lines(file: int, part: Part) -> Iterator[tuple[bytes, int]]:
    """Yield the lines that begin in a range, in chunks. The end of the last may be behind the range."""
    before = b"\n" if part.is_first else _read(file, part.start - 1, part.start)
    begun, position = before == b"\n", part.start
    while chunk := _read(file, position, part.end):
        position, before = position + len(chunk), chunk[-1:]
        if not begun:
            start = chunk.find(b"\n") + 1
            begun, chunk = start > 0, chunk[start or len(chunk) :]
        yield chunk, position - part.start
    if position < part.start + part.size:
        raise Shortened
    if part.end is not None and begun and before != b"\n":
        yield from _rest_of_line(file, position, part)


def _rest_of_line(file: int, position: int, part: Part) -> Iterator[tuple[bytes, int]]:
    while chunk := _read(file, position, None):
        position += len(chunk)
        end = chunk.find(b"\n") + 1
        yield chunk[: end or len(chunk)], part.size
        if end:
            return


def _read(file: int, start: int, end: int | None) -> bytes:
    with reading():
        return os.pread(file, CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - start), start)
