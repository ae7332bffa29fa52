"""Alerts that wait for the response to their request, on disk: a kill meanwhile must not lose them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert

MAX_BYTES = 64 * 1024 * 1024


def _lines(alerts: Sequence[Alert]) -> bytes:
    return b"".join(msgspec.json.encode(alert) + b"\n" for alert in alerts)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class Journal:
    """A file of alerts, one a line, emptied whenever nothing waits. Survives the process, not the machine's power."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
        with open(self._path, "ab", opener=_private) as file:
            file.write(_lines(alerts))
            large = file.tell() > MAX_BYTES
        if large:
            new = self._path.with_name(f"{self._path.name}.new")
            with open(new, "wb", opener=_private) as file:
                file.write(_lines(all_waiting()))
            new.replace(self._path)

    def clear(self) -> None:
        """Nothing waits any more.

        Raises:
            OSError: the file could not be emptied; its alerts would be recorded once more, which changes nothing.
        """
        if not self._empty and self._path.exists():
            os.truncate(self._path, 0)
        self._empty = True
