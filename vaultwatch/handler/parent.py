"""Find out whether syslog-ng has started this process, and so starts it again as soon as it ends."""

from __future__ import annotations

import os
from pathlib import Path

from vaultwatch.handler.stdin import is_pipe

_PROCESSES = Path("/proc")
_MAX_ANCESTORS = 4  # program("...") without exec has a shell between
_SYSLOG_NG = b"syslog-ng"


def may_be_restarted(stdin: int) -> bool:
    """Return whether syslog-ng may have started this process; where that cannot be seen, a pipe is enough.

    Args:
        stdin: The file descriptor of the input.
    """
    if not is_pipe(stdin):
        return False
    process = os.getppid()
    for _ in range(_MAX_ANCESTORS):
        try:
            name, _, rest = (_PROCESSES / str(process) / "stat").read_bytes().partition(b"(")[2].rpartition(b")")
        except OSError:
            return process > 1
        if name == _SYSLOG_NG:
            return True
        process = int(rest.split()[1])
        if process <= 1:
            break
    return False
