"""`vaultwatch ship` in a thread or in a process of its own, with a pipe as its input."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread

from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.ship import Pace, ShipOptions, run

FAST = Pace(
    close_after_seconds=0.02,
    settle_seconds=0.01,
    message_seconds=0.1,
    heartbeat_seconds=3600,
    settings_retry_seconds=0.02,
    lock_retry_seconds=0.02,
    backoff_seconds=0.01,
    longest_backoff_seconds=0.05,
    connect_timeout_seconds=1.0,
    read_timeout_seconds=0.5,
    report_seconds=0.05,
)


@dataclass
class Shipping:
    """A handler in a thread: `write` lines, then `end` the input; it then has to exit with 0."""

    options: ShipOptions
    status: int | None = None
    _pipe: tuple[int, int] = field(default_factory=os.pipe)

    def __enter__(self) -> Shipping:
        self._reading, self._writing = self._pipe
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        self.status = run(self.options, self._reading)

    def write(self, data: bytes) -> None:
        """Write all of the data; this blocks while the handler does not read."""
        while data:
            data = data[os.write(self._writing, data) :]

    def unread(self) -> int:
        """Return how many bytes the handler has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._reading, termios.FIONREAD, bytes(4)), sys.byteorder)

    def wait_until_read(self) -> None:
        eventually(lambda: not self.unread())

    def end(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def wait(self) -> None:
        self._thread.join(HUNG_SECONDS)
        assert not self._thread.is_alive(), "the handler does not exit"
        assert self.status == 0

    def __exit__(self, *exception: object) -> None:
        self.end()
        if exception[0] is None:
            self.wait()
        os.close(self._reading)


def start(options: ShipOptions) -> subprocess.Popen[bytes]:
    """Start a handler as a process, as syslog-ng does: its input is a pipe, its output is discarded."""
    program = (
        "import ctypes, sys\nctypes.CDLL(None).prctl(1, 9)\n"  # dies with its parent
        "from pathlib import Path\nfrom vaultwatch.ship import Pace, ShipOptions, run\n"
        f"sys.exit(run(ShipOptions({options.source!r}, {options.stream!r}, {options.oversize_bucket!r}, "
        f"Path({str(options.state)!r}), Path({str(options.log_file)!r}), pace=Pace(**{asdict(options.pace)!r}))))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd=Path(__file__).parents[2],
    )
