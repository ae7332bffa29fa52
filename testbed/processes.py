"""Child processes that never outlive their parent, even if it is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def start(command: Sequence[str], output: int, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a program that gets SIGTERM when this thread ends, even by SIGKILL.

    It runs in a session of its own: Ctrl-C reaches only the parent, which ends its children in order.

    Args:
        command: The program and its arguments.
        output: The file descriptor for its standard output and standard error.
        environment: Its environment variables.
        folder: Its working directory.

    Returns:
        The process.
    """
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """Send SIGTERM, and SIGKILL if the process still runs after `seconds`."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Children:
    """The present children of a process, by handles (pidfds), because process ids are reused."""

    def __init__(self, parent: int) -> None:
        self._handles = [handle for child in children(parent) if (handle := _open(child)) is not None]

    def end(self, seconds: float) -> int:
        """Wait until they have ended, kill those that have not after `seconds`, and return how many were killed."""
        deadline = time.monotonic() + seconds
        killed = 0
        for handle in self._handles:
            if not _has_ended(handle, deadline):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed += 1
            os.close(handle)
        self._handles = []
        return killed


def kill(process: int) -> None:
    """Kill a process that need not be a child, and wait for its end; the first one of a PID namespace ends last."""
    if (handle := _open(process)) is not None:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        _has_ended(handle, time.monotonic() + 60)
        os.close(handle)


def children(parent: int) -> list[int]:
    """Return the process ids of the children of all threads of a process."""
    try:
        return [int(child) for file in Path(f"/proc/{parent}/task").glob("*/children") for child in _words(file)]
    except FileNotFoundError:
        return []


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _has_ended(handle: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
