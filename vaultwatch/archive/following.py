"""Cut the growing file of an audit device into segments: whole lines, each once, wherever the file is renamed to.

A file is known by its inode and the digest of its first line: it keeps both when it is renamed, and a new file under a
reused inode has another first line. How far S3 has a file is its offset, in bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from vaultwatch.archive.upload_state import Numbers
from vaultwatch.archive.waiting import NotReady, Segment, check_settled, compressed, measured, opened

_CHUNK_BYTES = 1024 * 1024
_FIRST_LINE_BYTES = 64 * 1024


class Followed(NamedTuple):
    """An open file that is followed.

    Attributes:
        file: The file.
        identity: Its inode, and the digest of its first line.
        size: How long it was when it was opened.
        written: When its last byte was written.
        is_finished: Whether nobody will write to it any more.
    """

    file: IO[bytes]
    identity: str
    size: int
    written: datetime
    is_finished: bool


class Span(NamedTuple):
    """A part of a file: from where to where, in bytes."""

    start: int
    end: int


@contextmanager
def followed(path: Path, in_use: set[tuple[int, int]] | None, settle_seconds: float) -> Iterator[Followed]:
    """Open a file to follow while the context lasts.

    Args:
        path: The file.
        in_use: Device and inode of the files that are open; None for the file that is not yet rotated.
        settle_seconds: How long a rotated file has to be unchanged until it is finished.

    Raises:
        NotReady: It cannot be opened, or its first line is not complete.
    """
    with opened(path) as file:
        found = os.fstat(file.fileno())
        is_finished = in_use is not None and _is_settled(found, in_use, settle_seconds)
        beginning = file.read(_FIRST_LINE_BYTES)
        first, newline, _ = beginning.partition(b"\n")
        if not newline and len(beginning) < _FIRST_LINE_BYTES and not is_finished:
            raise NotReady("its first line is not complete")
        identity = f"{found.st_ino}-{hashlib.sha256(first).hexdigest()}"
        yield Followed(file, identity, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), is_finished)


def _is_settled(found: os.stat_result, in_use: set[tuple[int, int]], settle_seconds: float) -> bool:
    try:
        check_settled(found, in_use, settle_seconds)
    except NotReady:
        return False
    return True


def next_span(found: Followed, numbers: Numbers, limit: int) -> Span | None:
    """Return the part of a file that is uploaded next; None if S3 has all of its whole lines.

    A part for which a number was reserved is always the same again. A line without its end is waited for, until nobody
    will write to the file any more.

    Args:
        found: The file.
        numbers: The numbers of its segments.
        limit: How long the part may be, unless it is a single line.
    """
    if reservation := numbers.reserved.get(found.identity):
        return Span(reservation.start, reservation.end)
    start = numbers.offsets.get(found.identity, 0)
    end = min(start + limit, found.size)
    if end < found.size or not found.is_finished:
        end = _last_line_end(found.file, start, end) or _line_end(found, end)
    return Span(start, end) if end > start else None


def _last_line_end(file: IO[bytes], start: int, end: int) -> int:
    """Return where the last whole line of a part ends; 0 if it has none."""
    while end > start:
        begin = max(start, end - _CHUNK_BYTES)
        file.seek(begin)
        position = file.read(end - begin).rfind(b"\n")
        if position >= 0:
            return begin + position + 1
        end = begin
    return 0


def _line_end(found: Followed, position: int) -> int:
    """Return where the line around a position ends; without an end, that of the file if it is finished, else 0."""
    found.file.seek(position)
    while position < found.size and (chunk := found.file.read(min(_CHUNK_BYTES, found.size - position))):
        if (newline := chunk.find(b"\n")) >= 0:
            return position + newline + 1
        position += len(chunk)
    return found.size if found.is_finished else 0


@contextmanager
def segment_of_span(found: Followed, span: Span) -> Iterator[Segment]:
    """Open the segment of a part of a file while the context lasts.

    Args:
        found: The file.
        span: The part.

    Raises:
        NotReady: The file has become shorter.
    """
    if os.fstat(found.file.fileno()).st_size < span.end:
        raise NotReady("it has become shorter than what was to be uploaded")
    found.file.seek(span.start)
    with compressed(found.file, span.end - span.start) as file:
        yield Segment(file, measured(file, found.written))
