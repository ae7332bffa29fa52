"""Append lines to files, or replace files, so that a kill or a full disk damages nothing that was there or comes later.

An incomplete last line never damages the next one.
"""

from __future__ import annotations

import os
from pathlib import Path


def open_lines(path: Path, mode: int = 0o640) -> int:
    """Open a file of lines for appending; the caller closes it.

    Opening never blocks, not even for a named pipe without a reader or for a device.

    Raises:
        OSError: The file cannot be opened.
    """
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)


def append_lines(descriptor: int, lines: bytes) -> None:
    """Append whole lines, after ending an incomplete last line.

    Raises:
        OSError: The lines could not be written, or only some of them.
    """
    size = os.fstat(descriptor).st_size
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    write_all(descriptor, b"\n" + lines if torn else lines)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data, in as many calls as needed.

    Raises:
        OSError: The data could not be written, or only a part of it.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file, so that a reader sees the old contents or the new ones.

    Raises:
        OSError: The file could not be replaced, and is unchanged.
    """
    new = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(new, flags, mode)
    try:
        os.fchmod(descriptor, mode)
        write_all(descriptor, data)
    finally:
        os.close(descriptor)
    new.replace(path)
