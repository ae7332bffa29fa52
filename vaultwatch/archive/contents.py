"""What a segment contains: its digest, its size before compression, its lines, and the time of the first one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from os import SEEK_END
from typing import IO, NamedTuple

import msgspec

from vaultwatch.archive.segments import unpack
from vaultwatch.errors import ArchiveError
from vaultwatch.reading.identity import parse_time

_CHUNK_BYTES = 1024 * 1024
_LONGEST_FIRST_LINE = 4 * 1024 * 1024
_OLDEST = timedelta(days=31)
_TEXT_TIME = re.compile(rb"(?:@\S{1,500} )?(\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:?\d\d))", re.ASCII)


class _Times(msgspec.Struct):
    """The time of an audit entry, or of a server-log message in JSON."""

    time: str = ""
    logged: str = msgspec.field(default="", name="@timestamp")


class Contents(NamedTuple):
    """What was measured of a compressed segment.

    Attributes:
        sha256: Of the compressed bytes, as hex digits.
        plain_bytes: The size before compression.
        lines: The number of lines; an incomplete last one counts.
        first: The time of the first line, in UTC.
    """

    sha256: str
    plain_bytes: int
    lines: int
    first: datetime


def measure(compressed: IO[bytes], written: datetime) -> Contents:
    """Read a zstd file from its beginning to its end, in bounded memory.

    Args:
        compressed: The file.
        written: When its last line was written. A first line with a time that is later, more than a month earlier or
            cannot be read gets this one: a line must not choose where its segment is stored.

    Raises:
        ArchiveError: The file is empty, damaged or incomplete.
    """
    digest = hashlib.sha256()
    plain_bytes = newlines = 0
    head, last = b"", b"\n"
    for chunk in unpack(_chunks(compressed, digest)):
        if b"\n" not in head and len(head) < _LONGEST_FIRST_LINE:
            head += chunk[:_LONGEST_FIRST_LINE]
        plain_bytes += len(chunk)
        newlines += chunk.count(b"\n")
        last = chunk[-1:] or last
    if plain_bytes == 0 and compressed.seek(0, SEEK_END) == 0:
        raise ArchiveError("empty")
    lines = newlines + (last != b"\n")
    return Contents(digest.hexdigest(), plain_bytes, lines, _first_time(head.partition(b"\n")[0], written))


def _chunks(file: IO[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        yield chunk


def _first_time(line: bytes, written: datetime) -> datetime:
    try:
        moment = parse_time(_logged_time(line))
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not written - _OLDEST <= moment <= written:
        moment = written
    return moment.astimezone(UTC)


def _logged_time(line: bytes) -> str:
    if found := _TEXT_TIME.match(line):
        return found[1].decode("ascii")
    try:
        times = msgspec.json.decode(line[line.find(b"{") :], type=_Times)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""
    return times.time or times.logged
