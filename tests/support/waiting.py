"""Waiting for events in other threads and processes, on machines of any speed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

HUNG_SECONDS = 300.0
"""After this long, a test hangs. No test fails because something was slow; see also pyproject.toml."""


def eventually(holds: Callable[[], object]) -> None:
    """Poll until the condition holds; for what cannot notify us (a file, a pipe, another process)."""
    end = time.monotonic() + HUNG_SECONDS
    while not holds():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.005)


class Logged(logging.Handler):
    """Waits for a log message that contains a text, inside a `with` block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._event = Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._event.set()

    def __enter__(self) -> Logged:
        logging.getLogger("vaultwatch").addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("vaultwatch").removeHandler(self)

    def wait(self) -> None:
        assert self._event.wait(HUNG_SECONDS), f"{self._text!r} was never logged"
