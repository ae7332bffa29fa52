"""Syslog sockets as machines have them."""

from __future__ import annotations

import socket
from pathlib import Path


def dead_syslog(path: Path) -> None:
    """Make a socket on which nobody listens, as a stopped syslog daemon leaves it behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(path))
