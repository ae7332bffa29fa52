"""Write the handler's own log, to a file or to syslog: syslog-ng discards what a program() writes."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSLOG_SOCKET = Path("/dev/log")
_FACILITY_DAEMON = 3
_TIMEOUT_SECONDS = 1.0  # a syslog daemon that hangs must not hang the handler

logger = logging.getLogger("vaultwatch")


@contextmanager
def logging_to(name: str, log_file: Path | None, syslog: Path = SYSLOG_SOCKET) -> Iterator[None]:
    """Log under this name while the context lasts: to the file, else to syslog, else to stderr."""
    handler = _Log(name, log_file, syslog)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


class _Log(logging.Handler):
    """Opens its destination for each message again, because any of them can vanish, fill up or hang at any time.

    A message that no destination accepts is dropped: a handler must neither exit nor wait because of its own log.
    """

    def __init__(self, name: str, log_file: Path | None, syslog: Path) -> None:
        super().__init__()
        self._title = name
        self._file = log_file
        self._syslog = syslog
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s " + name + ": %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for write in (self._to_file, self._to_syslog, self._to_stderr):
            try:
                if write(record):
                    return
            except (OSError, ValueError):  # ValueError: stderr is closed
                continue

    def _to_file(self, record: logging.LogRecord) -> bool:
        if self._file is None:
            return False
        descriptor = open_log(self._file)
        try:
            os.write(descriptor, _utf8(self.format(record)) + b"\n")
        finally:
            os.close(descriptor)
        return True

    def _to_syslog(self, record: logging.LogRecord) -> bool:
        send_to_syslog(self._title, record.levelno, record.getMessage(), self._syslog)
        return True

    def _to_stderr(self, record: logging.LogRecord) -> bool:
        if sys.stderr is not None:
            sys.stderr.write(f"{self._title}: {record.getMessage()}\n")
            sys.stderr.flush()
        return True


def open_log(path: Path) -> int:
    """Open a log file for appending; the caller closes it.

    Raises:
        OSError: It cannot be opened, or is a named pipe without a reader.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o640)


def send_to_syslog(name: str, level: int, text: str, syslog: Path = SYSLOG_SOCKET) -> None:
    """Send one message to the local syslog daemon.

    Raises:
        OSError: There is no socket, or no daemon listens on it: a daemon that was stopped leaves its socket behind.
    """
    severity = 3 if level >= logging.ERROR else 4 if level >= logging.WARNING else 6
    packet = _utf8(f"<{_FACILITY_DAEMON * 8 + severity}>{name}: {text}")
    try:
        _send(socket.SOCK_DGRAM, syslog, packet)
    except OSError:  # some daemons listen for connections
        _send(socket.SOCK_STREAM, syslog, packet + b"\0")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _send(kind: socket.SocketKind, path: Path, packet: bytes) -> None:
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.settimeout(_TIMEOUT_SECONDS)
        connection.connect(str(path))
        connection.sendall(packet)
