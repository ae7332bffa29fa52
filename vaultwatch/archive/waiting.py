"""The rotated files of a folder that S3 does not have yet, and their segments."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import zstandard

from vaultwatch.archive.contents import Contents, measure
from vaultwatch.errors import ArchiveError
from vaultwatch.rotated_files import mark_of, open_files

_ROTATED = r"-\d{8}-\d{6}"
_CHUNK_BYTES = 1024 * 1024
_LEVEL, _WINDOW_LOG = 3, 27
"""As in assets/logrotate: records resemble older ones more than their neighbours."""


class NotReady(ArchiveError):
    """A rotated file cannot be uploaded yet."""


class Log(NamedTuple):
    """A log with rotated files.

    Attributes:
        name: The name of its file.
        source: The source of its segments.
        plain: Whether it is followed while it grows; logrotate compresses the rotated files of the others.
    """

    name: str
    source: str
    plain: bool = False

    def numbers(self, folder: Path) -> Path:
        """Return the file with the numbers of its segments."""
        return folder / f".{self.name}.uploads.json"


def audit_file_log(name: str) -> Log:
    """Return the log of a file audit device, by the name of its file."""
    return Log(name, "audit-file", plain=True)


LOGS = (Log("audit", "audit"), Log("messages", "server"))
"""Both logs of a log server."""


class Segment(NamedTuple):
    """An open segment, from its beginning, and what it contains."""

    file: IO[bytes]
    contents: Contents


def waiting(log: Log, folder: Path) -> list[Path]:
    """Return a log's rotated files without a mark, the oldest first."""
    pattern = re.compile(re.escape(log.name) + _ROTATED + ("" if log.plain else r"\.zst"), re.ASCII)
    files = sorted(file for file in folder.iterdir() if pattern.fullmatch(file.name))
    return [file for file in files if not mark_of(file).exists()]


@contextmanager
def segment_of(file: Path, settle_seconds: float) -> Iterator[Segment]:
    """Open the segment of a rotated file while the context lasts.

    Args:
        file: The rotated file, which logrotate has compressed.
        settle_seconds: How long it has to be unchanged.

    Raises:
        NotReady: It is in use, damaged or incomplete; the text says which.
    """
    in_use = open_files()
    with opened(file) as rotated:
        found = os.fstat(rotated.fileno())
        check_settled(found, in_use, settle_seconds)
        written = datetime.fromtimestamp(found.st_mtime, UTC)
        contents = measured(rotated, written)
        if _version(os.fstat(rotated.fileno())) != _version(found):
            raise NotReady("it grows")
        yield Segment(rotated, contents)


def opened(file: Path) -> IO[bytes]:
    """Open a regular file, and no link.

    Raises:
        NotReady: It cannot be opened.
    """
    try:
        return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise NotReady(str(error.strerror)) from error


def check_settled(found: os.stat_result, in_use: set[tuple[int, int]], settle_seconds: float) -> None:
    """Check that nobody writes to a file any more.

    Args:
        found: The file.
        in_use: Device and inode of the files that are open.
        settle_seconds: How long it has to be unchanged.

    Raises:
        NotReady: Somebody may.
    """
    if not stat.S_ISREG(found.st_mode):
        raise NotReady("it is not a regular file")
    if (found.st_dev, found.st_ino) in in_use:
        raise NotReady("a process has it open")
    if time.time() - found.st_mtime < settle_seconds:
        raise NotReady("it has just changed")


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


@contextmanager
def compressed(plain: IO[bytes], size: int) -> Iterator[IO[bytes]]:
    """Compress into a temporary file: the volume of the logs may be full, and the upload is what frees it.

    Args:
        plain: A file, at the position from which it is compressed.
        size: How many bytes are compressed.
    """
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=_WINDOW_LOG, enable_ldm=True, write_checksum=True
    )
    with TemporaryFile() as file:
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        with compressor.stream_writer(file, size=size, closefd=False) as writer:
            while size and (chunk := plain.read(min(size, _CHUNK_BYTES))):
                writer.write(chunk)
                size -= len(chunk)
        file.seek(0)
        yield file


def measured(file: IO[bytes], written: datetime) -> Contents:
    """Return what a compressed file contains, and go back to its beginning.

    Raises:
        NotReady: It is damaged or incomplete.
    """
    try:
        contents = measure(file, written)
    except ArchiveError as error:
        raise NotReady(str(error)) from error
    file.seek(0)
    return contents
