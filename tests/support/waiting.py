"""Waiting for what happens elsewhere: however long it takes, and not for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

HUNG_SECONDS = 300.0
"""What has not come about by then never will. Nothing is judged by how long it takes; see also pyproject.toml."""


def eventually(holds: Callable[[], object]) -> None:
    """Give way until it holds; for what tells nobody when it happens (a file, a pipe, another process)."""
    end = time.monotonic() + HUNG_SECONDS
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


class Heard(logging.Handler):
    """Notices, while its `with` lasts, when a text is logged."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._event = Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._event.set()

    def __enter__(self) -> Heard:
        logging.getLogger("vaultwatch").addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("vaultwatch").removeHandler(self)

    def wait(self) -> None:
        assert self._event.wait(HUNG_SECONDS), f"nobody said {self._text!r}"
