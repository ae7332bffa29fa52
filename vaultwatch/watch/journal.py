"""Keep alerts that wait, for a response or for others, on disk, so that a kill does not lose them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert, without_texts
from vaultwatch.appending import append_lines, open_lines
from vaultwatch.store.encoding import encode_alert

MAX_BYTES = 64 * 1024 * 1024


class Journal:
    """A file of alerts, one per line, which is emptied whenever no alert waits.

    It survives the process. It is not synchronised to disk, so it may not survive a power failure.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._rewrite_above_bytes = max_bytes
        self._is_empty = False

    def read(self) -> tuple[list[Alert], int]:
        """Return the alerts that an earlier process left, and the number of lines that its kill left incomplete.

        Raises:
            OSError: The file cannot be read.
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
        """Keep alerts until `clear`; a file that has grown large is replaced by one with all waiting alerts.

        Raises:
            OSError: They could not be written, and wait in memory only.
        """
        self._is_empty = False
        if _append(self._path, alerts) > self._rewrite_above_bytes:
            new = self._path.with_name(f"{self._path.name}.new")
            new.unlink(missing_ok=True)
            self._rewrite_above_bytes = max(self._max_bytes, 2 * _append(new, all_waiting()))
            new.replace(self._path)

    def clear(self) -> None:
        """Empty the file when no alert waits any more.

        Raises:
            OSError: It could not be emptied. Its alerts are stored again after a restart, which has no effect.
        """
        if not self._is_empty and self._path.exists():
            os.truncate(self._path, 0)
        self._is_empty = True
        self._rewrite_above_bytes = self._max_bytes


def _append(path: Path, alerts: Sequence[Alert]) -> int:
    """Append alerts, one per line, and return the size of the file in bytes."""
    descriptor = open_lines(path, 0o600)
    try:
        append_lines(descriptor, b"".join(_encoded(alert) + b"\n" for alert in alerts))
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _encoded(alert: Alert) -> bytes:
    """Encode an alert; without its texts if they make that raise."""
    try:
        return encode_alert(alert)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  whatever a log contains, it costs at most its own alert's texts
        return encode_alert(without_texts(alert, type(error).__name__))
