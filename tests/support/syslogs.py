"""Syslog sockets as machines have them."""

from __future__ import annotations

import socket
from pathlib import Path


def dead_syslog(path: Path) -> None:
    """Leave a socket behind on which nobody listens, as a syslog daemon does that was stopped."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(path))
