"""The lock that keeps a second process from reading the same input with the same state."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaultwatch.handler.log import logger
from vaultwatch.handler.stdin import pause


def open_lock(path: Path) -> int:
    """Open a lock file; the caller closes it.

    Raises:
        OSError: It cannot be created there, or is a symbolic link.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def hold_lock(path: Path, stdin: int, retry_seconds: float) -> Iterator[int]:
    """Hold the lock while the context lasts, after waiting for a predecessor that is still draining its input.

    Raises:
        EmptyInput: The input ended meanwhile and was empty.
        OSError: The lock file cannot be opened.
    """
    descriptor = open_lock(path)
    try:
        if not _take(descriptor):
            logger.info("reading is paused while another process holds %s", path)
            pause(stdin, retry_seconds)
            while not _take(descriptor):
                pause(stdin, retry_seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_first_holder(lock: int) -> bool:
    """Return whether no process held this lock before, and mark it as held.

    If the mark cannot be written (a full disk), the result is False: otherwise the next process would be first as well.
    """
    if os.fstat(lock).st_size:
        return False
    try:
        os.write(lock, b"held before\n")
    except OSError:
        return False
    return True
