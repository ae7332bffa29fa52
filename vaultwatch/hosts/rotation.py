"""Rotate the file of Vault's file audit device, and remove rotated files that S3 has.

syslog-ng finds a file by its name: after a restart it would skip what it had not read of a renamed one. So a file is
renamed only while syslog-ng runs, has it open, has read it to its end, and has sent what it read. Vault opens a new
file at SIGHUP; until then it writes to the renamed one, which syslog-ng reads to its end too.

A rotated file with a mark (`vaultwatch.rotated_files`) is in S3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from vaultwatch.rotated_files import MARK, descriptors, open_files

_SETTLED_SECONDS = 600.0


class Limits(NamedTuple):
    """When a file is rotated: at this size, or this long after the previous rotation.

    Attributes:
        size_bytes: The size.
        age_seconds: The time since the previous rotation.
        wait_seconds: How long syslog-ng may need to read what was in the file.
    """

    size_bytes: int = 1024**3
    age_seconds: float = 3600.0
    wait_seconds: float = 20.0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Rotation:
    """The file of an audit device, who reads it and who writes it.

    Attributes:
        file: The file.
        reader: Returns the process id of syslog-ng; None if it does not run.
        unsent: Returns how many lines of the file syslog-ng has read and not sent.
        reopen: Makes Vault open the file again.
        limits: When it is rotated.
    """

    file: Path
    reader: Callable[[], int | None]
    unsent: Callable[[], int]
    reopen: Callable[[], None]
    limits: Limits = DEFAULT_LIMITS

    def run(self) -> str:
        """Rotate the file if it is time, and return a sentence that says what was done, or why not."""
        if not self.file.exists():
            return "not rotated: Vault has not created the file"
        if not self._is_due():
            return "not rotated: it is not time"
        if reason := self._why_not():
            return f"not rotated: {reason}"
        rotated = self.file.with_name(f"{self.file.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
        if rotated.exists():
            return "not rotated: it has just been rotated"
        self.file.rename(rotated)
        self._stamp().touch()
        self.reopen()
        return f"rotated: {rotated.name}"

    def _is_due(self) -> bool:
        size = self.file.stat().st_size
        if not self._stamp().exists():
            self._stamp().touch(mode=0o640)
        age_seconds = time.time() - self._stamp().stat().st_mtime
        return size >= self.limits.size_bytes or (size > 0 and age_seconds >= self.limits.age_seconds)

    def _stamp(self) -> Path:
        """The empty file whose time is that of the previous rotation."""
        return self.file.with_name(f".{self.file.name}.rotated")

    def _why_not(self) -> str:
        pid = self.reader()
        if pid is None:
            return "syslog-ng does not run"
        size = self.file.stat().st_size
        end = time.monotonic() + self.limits.wait_seconds
        while True:
            reason = self._why_not_read(pid, size)
            if not reason or time.monotonic() >= end:
                return reason
            time.sleep(0.1)

    def _why_not_read(self, pid: int, size: int) -> str:
        position = read_position(pid, self.file)
        if position is None:
            return "syslog-ng has not read the previous file to its end"
        if position < size:
            return f"syslog-ng has {size - position} bytes to read"
        unsent = self.unsent()
        return f"syslog-ng has {unsent} lines to send" if unsent else ""


def read_position(pid: int, file: Path) -> int | None:
    """Return the position up to which a process has read a file; None if it has not opened it."""
    wanted = file.stat()
    for descriptor in descriptors(pid):
        with suppress(OSError):  # it was closed meanwhile
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                details = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
                return int(details.split("pos:")[1].split()[0])
    return None


def unsent_lines(statistics: str, destination: str) -> int:
    """Return how many lines wait in a destination, from `syslog-ng-ctl stats`.

    Args:
        statistics: Its output: `SourceName;SourceId;SourceInstance;State;Type;Number`, a line each.
        destination: The name of the destination.
    """
    rows = (line.split(";") for line in statistics.splitlines())
    return sum(
        int(row[-1]) for row in rows if len(row) >= 6 and row[-2] == "queued" and row[1].split("#")[0] == destination
    )


def remove_archived(folders: Iterable[Path]) -> list[Path]:
    """Remove the files with a mark that nobody has open and that no longer change, and then their marks.

    Args:
        folders: The folders with rotated files.

    Returns:
        The files that were removed.
    """
    marks = [mark for folder in folders if folder.is_dir() for mark in sorted(folder.glob(f"*{MARK}"))]
    in_use = open_files() if marks else set()
    removed = []
    for mark in marks:
        file = mark.with_name(mark.name.removesuffix(MARK))
        if file.exists():
            found = file.stat()
            if (found.st_dev, found.st_ino) in in_use or time.time() - found.st_mtime < _SETTLED_SECONDS:
                continue
            file.unlink()
            removed.append(file)
        mark.unlink()
    return removed
