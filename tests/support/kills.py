"""End a run of our code at any step, as a kill would."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

STEPS = {"open", "os.rename", "os.listdir", "os.scandir"}


class Killed(BaseException):
    """Ends a run as a kill would: nothing of ours handles it."""


class Killer:
    """Ends a run at its n-th step in a folder; steps are Python's audit events. An audit hook cannot be removed."""

    def __init__(self) -> None:
        self.left = 0
        self.folder = ""
        sys.addaudithook(self._count)

    def _count(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left and event in STEPS and self.folder in str(arguments[0]):
            self.left -= 1
            if not self.left:
                raise Killed


def close_files(folder: Path) -> None:
    """Close what this process has open below a folder, as the end of a process does."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if descriptor.readlink().is_relative_to(folder):
                os.close(int(descriptor.name))
