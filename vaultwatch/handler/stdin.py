"""Read the handler's input to its end, or wait without reading it."""

from __future__ import annotations

import os
import select
import stat
import time
from typing import Protocol

from vaultwatch.errors import SettingError
from vaultwatch.handler.log import logger

READ_BYTES = 64 * 1024


class EmptyInput(Exception):
    """The input has ended, and nothing is left in it to read."""


class Consumer(Protocol):
    """Processes the input of a handler; `consume` calls it."""

    def do_due(self) -> None:
        """Do everything that is due by now."""

    @property
    def seconds_to_next(self) -> float:
        """Return the seconds until something is due again."""

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes of the input."""

    def finish(self) -> None:
        """Process the rest, after the end of the input."""


def consume(stdin: int, consumer: Consumer) -> None:
    """Feed the input to the consumer until it ends, and call `do_due` whenever something is due."""
    poll = select.poll()
    poll.register(stdin, select.POLLIN)
    chunk: bytes | None = None
    while chunk != b"":
        consumer.do_due()
        chunk = read_available(stdin) if poll.poll(max(0.0, consumer.seconds_to_next * 1000)) else None
        if chunk:
            consumer.feed(chunk)
    consumer.finish()


def read_available(stdin: int) -> bytes | None:
    """Read up to 64 KiB; b"" at the end of the input, None if there is nothing to read after all."""
    try:
        return os.read(stdin, READ_BYTES)
    except BlockingIOError:  # another process made the pipe non-blocking: this is not its end
        return None
    except OSError as error:
        logger.error("cannot read the input any more: %s", error.strerror)
        return b""


def check_open(stdin: int) -> None:
    """Check that the input is open. Call this before opening any file, which would get the number of a closed input.

    Raises:
        SettingError: It is closed.
    """
    try:
        os.fstat(stdin)
    except OSError as error:
        raise SettingError(f"standard input is not open: {error.strerror}") from error


def is_pipe(descriptor: int) -> bool:
    """Return whether the descriptor is an open pipe, as the input that syslog-ng gives to a handler."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def pause(stdin: int, seconds: float) -> None:
    """Wait without reading the input.

    Raises:
        EmptyInput: Its writer closed the pipe meanwhile and left nothing in it, so there is nothing to wait for.
    """
    poll = select.poll()
    poll.register(stdin, 0)  # poll always reports hang-ups
    if not poll.poll(seconds * 1000):
        return
    poll.register(stdin, select.POLLIN)
    if not any(event & select.POLLIN for _, event in poll.poll(0)):
        raise EmptyInput
    time.sleep(seconds)


def wait_for_end(stdin: int) -> None:
    """Wait without reading, and without a limit, until the writer of the pipe closes it."""
    poll = select.poll()
    poll.register(stdin, 0)  # poll always reports hang-ups
    poll.poll()
