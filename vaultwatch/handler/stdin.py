"""What every program() handler needs: its log, since its stderr goes nowhere, its input, and how it waits."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vaultwatch.errors import SettingError

SYSLOG_SOCKET = Path("/dev/log")
READ_BYTES = 64 * 1024
MAX_COMPLAINTS = 100

logger = logging.getLogger("vaultwatch")


@contextmanager
def logging_to(name: str, log_file: Path | None, syslog: Path = SYSLOG_SOCKET) -> Iterator[None]:
    """Log under this name to the file, else to syslog, else to stderr, for as long as the context lasts."""
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
    """Opens its place anew for each of its few messages, since each can go away, fill up or stand still.

    A message that no place takes is dropped: a program that reads a log must not end, nor wait, because of its own.
    """

    def __init__(self, name: str, log_file: Path | None, syslog: Path) -> None:
        super().__init__()
        self._title = name
        self._file = log_file
        self._syslog = syslog
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s " + name + ": %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for place in (self._to_file, self._to_syslog, self._to_stderr):
            try:
                if place(record):
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
        if not self._syslog.is_socket():
            return False
        severity = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        packet = _utf8(f"<{3 * 8 + severity}>{self._title}: {record.getMessage()}")  # facility daemon
        try:
            _send(socket.SOCK_DGRAM, self._syslog, packet)
        except OSError:
            _send(socket.SOCK_STREAM, self._syslog, packet + b"\0")
        return True

    def _to_stderr(self, record: logging.LogRecord) -> bool:
        if sys.stderr is not None:
            sys.stderr.write(f"{self._title}: {record.getMessage()}\n")
            sys.stderr.flush()
        return True


def open_log(path: Path) -> int:
    """A log file, to append to; the caller closes it. A named pipe that nobody reads is refused rather than waited for.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o640)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _send(kind: socket.SocketKind, path: Path, packet: bytes) -> None:
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.settimeout(1.0)  # a syslog daemon that stands still must not stop us
        connection.connect(str(path))
        connection.sendall(packet)


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


def check_open(stdin: int) -> None:
    """Before any file is opened, which would take the number of a closed one.

    Raises:
        SettingError: it is closed.
    """
    try:
        os.fstat(stdin)
    except OSError as error:
        raise SettingError(f"the standard input is not open: {error.strerror}") from error


def ignore_signals() -> None:
    """SIGTERM comes with the end of the input, which is what counts: until then every line is still ours to read."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def read_some(stdin: int) -> bytes | None:
    """What is there to be read, up to 64 KiB; b"" at the end of the input, None when there is nothing after all."""
    try:
        return os.read(stdin, READ_BYTES)
    except BlockingIOError:  # whoever else has this pipe made it so; it is not the end
        return None
    except OSError as error:
        logger.error("the input cannot be read any more: %s", error.strerror)
        return b""


def stand_still(name: str, text: str, stdin: int = 0, syslog: Path = SYSLOG_SOCKET) -> None:
    """Say what is wrong, on stderr and in syslog, and wait for the writer of a pipe to go, reading nothing.

    For what cannot be repaired while this process lives. Were it to end at once, syslog-ng would start it again at
    once, for ever, and each start swallows a pipe full of lines.
    """
    sys.stderr.write(f"vaultwatch: {text}\n")
    sys.stderr.flush()
    if syslog.is_socket():
        with logging_to(name, None, syslog):
            logger.error("%s Reads nothing until this is repaired", text)
    poll = select.poll()
    poll.register(stdin, 0)  # hang-ups are always reported
    poll.poll()


def is_pipe(descriptor: int) -> bool:
    """Whether it is open, and a pipe, as syslog-ng gives it to a handler."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def ended_empty(stdin: int, seconds: float) -> bool:
    """Wait, at most so long, for the writer to go; True when it went and left nothing to read. Reads nothing."""
    poll = select.poll()
    poll.register(stdin, 0)  # hang-ups are always reported
    if not poll.poll(seconds * 1000):
        return False
    poll.register(stdin, select.POLLIN)
    if any(event & select.POLLIN for _, event in poll.poll(0)):
        time.sleep(seconds)
        return False
    return True


def begun(lock: int) -> str:
    """What stands for the time of a message that has none, before the first that has one: "" or now, RFC 3339.

    It is "" for the first process that ever holds this lock, as for whoever reads the log from its beginning; a later
    one does not know what its predecessors knew, and two messages must not be taken for one.
    """
    now = datetime.now(UTC).isoformat()
    if os.fstat(lock).st_size:
        return now
    try:
        os.write(lock, b"held before\n")
    except OSError:  # a full disk: the next process will not know of this one
        return now
    return ""
