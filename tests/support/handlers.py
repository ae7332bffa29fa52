"""A program() handler in a thread, with a pipe as its input."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from collections.abc import Callable
from threading import Thread
from typing import Self

from tests.support.waiting import HUNG_SECONDS, eventually


def unread(descriptor: int) -> int:
    """Return how many bytes of a pipe have not been read yet."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


class HandlerThread:
    """A handler that runs while its context is open: `write` lines, then `end` the input; it must then exit with 0."""

    def __init__(self, handle: Callable[[int], int], pipe: tuple[int, int] | None = None) -> None:
        """Prepare the thread.

        Args:
            handle: The handler, called with its input.
            pipe: The input and its other end; a new pipe by default.
        """
        self.status: int | None = None
        self.reading, self._writing = pipe or os.pipe()
        self._handle = handle
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _run(self) -> None:
        self.status = self._handle(self.reading)

    def write(self, data: bytes) -> None:
        """Write all of the data; this blocks while the handler does not read."""
        while data:
            data = data[os.write(self._writing, data) :]

    def unread(self) -> int:
        """Return how many bytes the handler has not read yet."""
        return unread(self.reading)

    def wait_until_read(self) -> None:
        """Wait until the handler has read everything."""
        eventually(lambda: not self.unread())

    def end(self) -> None:
        """End the input."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def wait(self) -> None:
        """Wait until the handler exits."""
        self._thread.join(HUNG_SECONDS)
        assert not self._thread.is_alive(), "the handler does not exit"
        assert self.status == 0

    def __exit__(self, *exception: object) -> None:
        self.end()
        if exception[0] is None:
            self.wait()
        os.close(self.reading)
