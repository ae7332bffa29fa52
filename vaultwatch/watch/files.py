"""What the handler writes for people to look at, beside alerts: figures, and lines that could not be read."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vaultwatch.appending import append_lines, open_lines, write_all
from vaultwatch.detection.evaluator import Counts
from vaultwatch.reading.records import Rejected

MAX_REJECTED_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


class Figures:
    """`--stats FILE`: what has been read and found so far, rewritten as a whole."""

    def __init__(self, path: Path | None, every_seconds: float) -> None:
        self._path = path
        self._every_seconds = every_seconds
        self._next = 0.0
        self._written = b""

    @property
    def seconds_to_next(self) -> float:
        """When `write` next has something to do."""
        return max(0.0, self._next - time.monotonic()) if self._path else 3600.0

    def write(self, counts: Counts, alerts: int, final: bool) -> None:
        """Write the figures if it is time to, and they have changed.

        Raises:
            OSError: the file could not be written; what it held before is still there.
        """
        if self._path is None or (not final and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + self._every_seconds
        body = msgspec.json.encode({**msgspec.structs.asdict(counts), "alerts": alerts, "ended": final}) + b"\n"
        if body == self._written:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_bytes(body)
        new.replace(self._path)
        self._written = body


class RejectedLines:
    """`--rejected FILE`: rejected lines with their reasons; at 64 MiB the file is moved to FILE.1 and begun anew."""

    def __init__(self, path: Path | None, max_bytes: int = MAX_REJECTED_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def add(self, line: Rejected) -> None:
        """Keep the line, whole.

        Raises:
            OSError: it could not be written, or not all of it.
        """
        if self._path is None:
            return
        descriptor = open_lines(self._path)
        try:
            full = os.fstat(descriptor).st_size >= self._max_bytes
            if not full:
                _write(descriptor, line)
        finally:
            os.close(descriptor)
        if full:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self.add(line)


def _write(descriptor: int, line: Rejected) -> None:
    append_lines(descriptor, b'{"reason":' + msgspec.json.encode(line.reason) + b',"line":"')
    for piece in _escaped(line.line):
        write_all(descriptor, piece)
    write_all(descriptor, b'"}\n')


def _escaped(raw: bytes) -> Iterator[bytes]:
    """The inside of the JSON string of a line, a piece at a time: of 64 MiB of noise the whole takes a gigabyte."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    for start in range(0, len(raw), _PIECE_BYTES):
        yield msgspec.json.encode(decoder.decode(raw[start : start + _PIECE_BYTES]))[1:-1]
    yield msgspec.json.encode(decoder.decode(b"", final=True))[1:-1]
