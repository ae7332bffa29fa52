"""What every program() handler needs: where it says what it does, since its stderr goes nowhere."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import SysLogHandler, WatchedFileHandler
from pathlib import Path

SYSLOG_SOCKET = Path("/dev/log")
MAX_COMPLAINTS = 100

logger = logging.getLogger("vaultwatch")


@contextmanager
def logging_to(name: str, log_file: Path | None, syslog: Path = SYSLOG_SOCKET) -> Iterator[None]:
    """Log under this name to the file, else to syslog, else to stderr, for as long as the context lasts."""
    handler = _handler(name, log_file, syslog)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def _handler(name: str, log_file: Path | None, syslog: Path) -> logging.Handler:
    if log_file is not None:
        try:
            file_handler = WatchedFileHandler(log_file)
        except OSError:
            pass  # the check of the settings says so, in the place that there is
        else:
            file_handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {name}: %(message)s"))
            return file_handler
    if syslog.is_socket():
        return _syslog_handler(name, syslog)
    stderr = logging.StreamHandler()
    stderr.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    return stderr


def _syslog_handler(name: str, syslog: Path) -> logging.Handler:
    handler = SysLogHandler(str(syslog), SysLogHandler.LOG_DAEMON)
    handler.ident = f"{name}: "
    connection: socket.socket | None = getattr(handler, "socket", None)
    if connection is not None and connection.fileno() >= 0:  # closed while nobody listens: it tries again by itself
        connection.settimeout(1.0)  # a syslog daemon that stands still must not stop us
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


class Complaints:
    """Logs a complaint when it is new, then once in a while with how often it came."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._seen: dict[str, tuple[float, int]] = {}

    def complain(self, about: str, level: int, text: str) -> None:
        """Log the text unless the same was complained about a moment ago."""
        now = time.monotonic()
        last, held_back = self._seen.get(about, (None, 0))
        if last is not None and now - last < self._every_seconds:
            self._seen[about] = (last, held_back + 1)
            return
        if len(self._seen) >= MAX_COMPLAINTS:
            self._seen.clear()
        self._seen[about] = (now, 0)
        logger.log(level, "%s%s", text, f" ({held_back} more times meanwhile)" if held_back else "")

    def settle(self, text: str) -> None:
        """Log that all is well again, if it was not."""
        if self._seen:
            self._seen.clear()
            logger.info("%s", text)
