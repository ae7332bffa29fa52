"""The alert log: a file that people tail, one alert a line, whole on disk before it counts as told."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.appending import append_lines, open_lines
from vaultwatch.dispatch.notification import Disposition, Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.rules.facts import Level


class AlertLog:
    """Appends every alert that is new, told at once or only counted; see `vaultwatch.notify.sink.Sink`.

    The file may be moved away at any moment (logrotate): a line that went into a file which is no longer at `path` is
    written again. Only logrotate's `copytruncate` has a moment, between its copy and its truncation, that no writer
    can see. A line that was torn (a kill, a full disk) is ended, so that it spoils no other.
    """

    name = "alert-log"
    dispositions: frozenset[Disposition] = frozenset({"first", "suppressed"})

    def __init__(self, path: Path, minimum_level: Level = Level.LOW) -> None:
        self.minimum_level = minimum_level
        self._path = path

    def send(self, message: Notification) -> None:
        """Append the message's alerts; see `Sink.send`."""
        wanted = [alert for alert in message.alerts if self._wants(alert)]
        lines = b"".join(msgspec.json.encode(alert) + b"\n" for alert in wanted)
        try:
            while lines and not self._append(lines):
                pass
        except OSError as error:
            raise DeliveryError(f"{self._path}: {error.strerror}") from error

    def _wants(self, alert: Alert) -> bool:
        return not alert.staged and alert.level.rank >= self.minimum_level.rank

    def _append(self, lines: bytes) -> bool:
        """Write and synchronise; whether the file is still the one at the path."""
        descriptor = open_lines(self._path)
        try:
            append_lines(descriptor, lines)
            os.fsync(descriptor)
            return _is_at(descriptor, self._path)
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino) and mine.st_size > 0
