"""Write figures and rejected lines to files, for people and monitoring."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from vaultwatch.appending import append_lines, open_lines, replace_file, write_all
from vaultwatch.detection.evaluator import Counts
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.rejected import encode_rejected

MAX_REJECTED_BYTES = 64 * 1024 * 1024


class Figures:
    """`--stats FILE`: counters since the start, in one JSON object."""

    def __init__(self, path: Path | None, every_seconds: float) -> None:
        self._path = path
        self._every_seconds = every_seconds
        self._next = 0.0
        self._written = b""

    @property
    def seconds_to_next(self) -> float:
        """Return the seconds until the figures are due again."""
        return max(0.0, self._next - time.monotonic()) if self._path else 3600.0

    def write(self, counts: Counts, alerts: int, *, final: bool) -> None:
        """Replace the file if it is due and the figures have changed, or if they are `final`.

        Raises:
            OSError: The file could not be replaced, and is unchanged.
        """
        if self._path is None or (not final and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + self._every_seconds
        body = msgspec.json.encode({**msgspec.structs.asdict(counts), "alerts": alerts, "ended": final}) + b"\n"
        if body == self._written:
            return
        replace_file(self._path, body)
        self._written = body


class RejectedLines:
    """`--rejected FILE`: rejected lines with their reasons. At 64 MiB the file is renamed to FILE.1."""

    def __init__(self, path: Path | None, max_bytes: int = MAX_REJECTED_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def add(self, line: Rejected) -> None:
        """Append the complete line.

        Raises:
            OSError: The line could not be written, or only a part of it.
        """
        if self._path is None:
            return
        descriptor = open_lines(self._path)
        try:
            full = os.fstat(descriptor).st_size >= self._max_bytes
            if not full:
                _append(descriptor, line)
        finally:
            os.close(descriptor)
        if full:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self.add(line)


def _append(descriptor: int, line: Rejected) -> None:
    pieces = encode_rejected(line)
    append_lines(descriptor, next(pieces))
    for piece in pieces:
        write_all(descriptor, piece)
