"""Follows alert logs as they grow, and notes when each alert appeared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert


@dataclass(frozen=True)
class Seen:
    """An alert, and when it was first seen.

    Attributes:
        alert: The alert.
        at: When, in seconds since the epoch.
    """

    alert: Alert
    at: float


class AlertTail:
    """Yields the alerts of several files, each once, in the order in which they appear.

    Args:
        paths: The files, which need not exist yet.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.seen: dict[str, Seen] = {}
        self.repeated = 0
        self._positions = dict.fromkeys(paths, 0)

    def poll(self) -> list[Alert]:
        """Return the alerts that are new since the last call."""
        new: list[Alert] = []
        for path in self._positions:
            for alert in self._read(path):
                if alert.id in self.seen:
                    self.repeated += 1
                    continue
                self.seen[alert.id] = Seen(alert, time.time())
                new.append(alert)
        return new

    def _read(self, path: Path) -> Iterator[Alert]:
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._positions[path])
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._positions[path] += len(whole)
        for line in whole.splitlines():
            if line:
                yield msgspec.json.decode(line, type=Alert)
