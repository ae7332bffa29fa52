"""The alert log: a file with one alert per line, which is on disk before it counts as accepted."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.appending import append_lines, open_lines
from vaultwatch.dispatch.notification import Disposition, Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.apart import content_of
from vaultwatch.printable import printable_json
from vaultwatch.rules.facts import Level


class AlertLog:
    """A `vaultwatch.notify.sink.Sink` that appends every new alert to a file, notified or suppressed.

    logrotate may rename the file at any moment: a line written to a file that is no longer at `path` is written again.
    Do not use logrotate's `copytruncate`: no writer can detect what is lost between its copy and its truncation. An
    incomplete line, after a kill or on a full disk, is ended, so that it damages no other.

    Args:
        path: The file. It is created if it does not exist; its directory is not.
        minimum_level: The lowest level of the alerts that it contains.
    """

    name = "alert-log"
    dispositions: frozenset[Disposition] = frozenset({"first", "suppressed"})

    def __init__(self, path: Path, minimum_level: Level = Level.LOW) -> None:
        self.minimum_level = minimum_level
        self._path = path

    def send(self, notification: Notification) -> None:
        """Append the notification's alerts; see `Sink.send`."""
        lines = content_of(notification, self._lines)
        try:
            while lines and not self._append(lines):
                pass
        except OSError as error:
            raise DeliveryError(f"{self._path}: {error.strerror}") from error

    def _lines(self, notification: Notification) -> bytes:
        wanted = filter(self._wants, notification.alerts)
        return b"".join(printable_json(msgspec.json.encode(alert)) + b"\n" for alert in wanted)

    def _wants(self, alert: Alert) -> bool:
        return not alert.staged and alert.level.rank >= self.minimum_level.rank

    def _append(self, lines: bytes) -> bool:
        """Write lines to disk, and return whether the file is still the one at the path."""
        descriptor = open_lines(self._path)
        try:
            append_lines(descriptor, lines)
            os.fsync(descriptor)
            return _is_at(descriptor, self._path)
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) and ours.st_size > 0
