"""Rotated files: the mark of those that S3 has, and which files are open.

Whoever has stored a rotated file in S3 creates `<file>.archived` beside it. Nothing else makes a file removable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = ".archived"
_ROTATED = re.compile(r".+-\d{8}-\d{6}(\.zst)?", re.ASCII)


def mark_of(file: Path) -> Path:
    """Return the path of the mark of a rotated file."""
    return file.with_name(f"{file.name}{MARK}")


def open_files() -> set[tuple[int, int]]:
    """Return device and inode of every file that a process has open."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            for descriptor in descriptors(int(process.name)):
                with suppress(OSError):  # it was closed meanwhile
                    status = descriptor.stat()
                    found.add((status.st_dev, status.st_ino))
    return found


def descriptors(pid: int) -> Iterator[Path]:
    """Yield the open files of a process, as links in /proc; none if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        yield from Path(f"/proc/{pid}/fd").iterdir()


def unarchived(folder: Path) -> list[Path]:
    """Return the rotated files in a folder that S3 does not have, in no order; none if there is no such folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return [file for file in found if _ROTATED.fullmatch(file.name) and not mark_of(file).exists()]
