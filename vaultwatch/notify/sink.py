"""What every sink is to the sender, and how a sink keeps its pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from vaultwatch.dispatch.notification import Disposition, Notification, Route
from vaultwatch.rules.facts import Level


class Sink(Protocol):
    """One place that messages go to; `send` is called by one thread of its own.

    `name` stays the same from start to start: it is how the store knows what this sink has had.
    """

    @property
    def name(self) -> str:
        """A short name, as `slack`."""
        ...

    @property
    def dispositions(self) -> frozenset[Disposition]:
        """Which kinds of message it wants: `NOTIFIED` for people, `ALL_DISPOSITIONS` for an archive."""
        ...

    @property
    def minimum_level(self) -> Level:
        """The lowest level it wants."""
        ...

    def send(self, message: Notification) -> None:
        """Return once the receiver said yes.

        Raises `SinkBusy` when it asks us to wait, `SinkRefused` when it will not take this message as it is, and any
        other `DeliveryError` when it could not be reached or failed.
        """
        ...


def route(sink: Sink) -> Route:
    """What a store has to know of the sink."""
    return Route(sink.name, sink.dispositions, sink.minimum_level)


class Pace:
    """Keeps calls apart: the next one begins `interval_seconds` after the one before has ended.

    Used as a context manager around one call.
    """

    def __init__(
        self,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._sleep = sleep
        self._next = float("-inf")

    def __enter__(self) -> None:
        self.wait()

    def __exit__(self, *_: object) -> None:
        self.done()

    def wait(self) -> None:
        """Wait until the next call may begin."""
        ahead = self._next - self._clock()
        if ahead > 0:
            self._sleep(ahead)

    def done(self) -> None:
        """Note that the call has ended."""
        self._next = self._clock() + self._interval_seconds
