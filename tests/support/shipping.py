"""`vaultwatch ship` in a thread or in a process of its own, with a pipe as its input."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.support.handlers import HandlerThread
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


class Shipping(HandlerThread):
    """`ship` in a thread."""

    def __init__(self, options: ShipOptions, *, pipe: tuple[int, int] | None = None) -> None:
        super().__init__(lambda stdin: run(options, stdin), pipe)
        self.options = options


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
