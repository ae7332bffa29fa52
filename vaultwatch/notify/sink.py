"""The Sink contract, and a limit on the rate of calls.

**The specification of a sink.** `tests/unit/notify/test_sink_contract.py` tests it on every sink: add a new one there.

1. A sink has a `name` that never changes: under it, the store remembers what the sink has accepted.
2. A sink names the `dispositions` and the `minimum_level` that it wants, and is sent nothing else. Its constructor
   takes `minimum_level`, which is `low` by default.
3. `send` returns only once the receiver has accepted the whole notification. It is called by one thread at a time, may
   be called again with a notification that was accepted before, and keeps to the receiver's rate limit itself.
4. `send` raises `DeliveryError` and nothing else when the receiver has not accepted:
   `SinkBusy` if it asked us to wait, with the seconds; `SinkRefused` if it will never accept this notification as it
   is; `SinkMisconfigured` if it accepts nothing until a person repairs a setting; plain `DeliveryError` if it cannot be
   reached or has failed. Only `SinkRefused` is about the notification, so only with it do others go ahead.
5. No error, log line or `repr` contains a secret of the sink: raise outside the `except` block that caught the cause.
6. All text in a notification may come from a log: shorten it, make it printable, and never let it act as markup.
7. `SettingError` is raised by the constructor, before anything is sent, if a setting cannot be used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from vaultwatch.dispatch.notification import Disposition, Notification
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level


class Sink(Protocol):
    """One receiver of notifications; see the specification at the top of this module."""

    @property
    def name(self) -> str:
        """A short name, for example `slack`."""
        ...

    @property
    def dispositions(self) -> frozenset[Disposition]:
        """The dispositions that it wants: `NOTIFIED` for people, `ALL_DISPOSITIONS` for an archive."""
        ...

    @property
    def minimum_level(self) -> Level:
        """The lowest level that it wants."""
        ...

    def send(self, notification: Notification) -> None:
        """Send one notification and return once the receiver has accepted it.

        Raises:
            SinkBusy: The receiver asks us to wait.
            SinkRefused: It will never accept this notification as it is.
            SinkMisconfigured: It accepts nothing until a person has repaired a setting.
            DeliveryError: It could not be reached, or it failed.
        """
        ...


def route(sink: Sink) -> Route:
    """Return what a store has to know about a sink."""
    return Route(sink.name, sink.dispositions, sink.minimum_level)


class Pace:
    """Limits the rate of calls: each begins at least `interval_seconds` after the end of the previous one.

    Use it as a context manager around a call.
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
