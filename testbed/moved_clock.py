"""The clock of one process, which steps when a test says so, by a library in front of the C library's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("moved_clock.c")


class MovedClock:
    """The time of day of other processes; a step moves neither their monotonic clock nor timers, as on a host.

    Args:
        folder: The folder for the library and for the step; it is created.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file, self._library = folder / "seconds", folder / "moved_clock.so"
        self.step(0)

    def step(self, seconds: int) -> None:
        """Let the clock differ from that of the machine by so many seconds from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process uses it."""
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        return {"LD_PRELOAD": str(self._library), "MOVED_CLOCK": str(self._file)}


def may_move_clocks() -> bool:
    """Return whether there is a C compiler."""
    return shutil.which("cc") is not None
