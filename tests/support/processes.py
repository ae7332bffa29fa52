"""The processes and open files of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def children() -> set[int]:
    """Return the child processes of this one, also those that have ended and that nobody has waited for."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if _parent(entry) == os.getpid()}


def open_files() -> int:
    """Return how many files this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


def _parent(process: Path) -> int:
    with suppress(OSError):  # it has just ended, or is no process
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return 0
