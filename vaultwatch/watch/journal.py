"""Alerts that wait for the response to their request, on disk: a kill meanwhile must not lose them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.appending import append_lines, open_lines

MAX_BYTES = 64 * 1024 * 1024


class Journal:
    """A file of alerts, one a line, emptied whenever nothing waits. Survives the process, not the machine's power."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._large_at = max_bytes
        self._empty = False

    def read(self) -> tuple[list[Alert], int]:
        """The alerts that an earlier process left, and how many lines of its file cannot be read (torn by a kill).

        Raises:
            OSError: the file cannot be read.
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return [], 0
        found: list[Alert] = []
        torn = 0
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Alert))
            except (msgspec.DecodeError, UnicodeDecodeError):
                torn += 1
        return found, torn

    def add(self, alerts: Sequence[Alert], all_waiting: Callable[[], Sequence[Alert]]) -> None:
        """Keep these until `clear`; a file that has grown large is written anew with all that waits.

        Raises:
            OSError: they could not be written; they wait in memory only.
        """
        self._empty = False
        if _append(self._path, alerts) > self._large_at:
            new = self._path.with_name(f"{self._path.name}.new")
            new.unlink(missing_ok=True)
            self._large_at = max(self._max_bytes, 2 * _append(new, all_waiting()))
            new.replace(self._path)

    def clear(self) -> None:
        """Nothing waits any more.

        Raises:
            OSError: the file could not be emptied; its alerts would be recorded once more, which changes nothing.
        """
        if not self._empty and self._path.exists():
            os.truncate(self._path, 0)
        self._empty = True
        self._large_at = self._max_bytes


def _append(path: Path, alerts: Sequence[Alert]) -> int:
    """Append the alerts, a line each; the file's size then, in bytes."""
    descriptor = open_lines(path, 0o600)
    try:
        append_lines(descriptor, b"".join(msgspec.json.encode(alert) + b"\n" for alert in alerts))
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
