"""The threads that send notifications: one for each sink, and one that closes suppression windows on time.

Unsent notifications stay in the store: memory does not grow, however long a sink is unavailable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vaultwatch.backoff import Backoff
from vaultwatch.errors import DeliveryError, SinkBusy, SinkRefused
from vaultwatch.notify.sink import Sink
from vaultwatch.problem_log import ProblemLog
from vaultwatch.store import Store, StoreError, Unsent

_LOOK_AGAIN_SECONDS = 30.0
_MAX_PAUSE_SECONDS = 30.0
_REFUSED = Backoff(first_seconds=60.0, longest_seconds=3_600.0)
_PURGE_SECONDS = 3_600.0
_PAGE = 10


class SinkCounts(NamedTuple):
    """How many notifications a sink accepted, and how many attempts failed.

    Attributes:
        sent: How many it accepted.
        failed: How many attempts failed.
        last_sent: When it accepted the last one (seconds since the epoch); 0 if it accepted none.
    """

    sent: int
    failed: int
    last_sent: float


class Sender:
    """Sends the unsent notifications of a store to its sinks, each at its own pace, until stopped.

    Call `notify`, which returns at once, whenever alerts have been stored.

    Args:
        store: The store of the notifications.
        sinks: The sinks. Each has a thread of its own, so that an unavailable one delays only its own notifications.
        clock: Returns seconds since the epoch.
        pause_seconds: How long to wait after the first failure of the store or of a sink; for a sink it doubles with
            each further failure, up to 30 seconds.
    """

    def __init__(
        self,
        store: Store,
        sinks: Sequence[Sink],
        clock: Callable[[], float] = time.time,
        pause_seconds: float = 1.0,
    ) -> None:
        self._workers = [_Worker(store, sink, clock, pause_seconds) for sink in sinks]
        self._closer = _Closer(store, clock, pause_seconds, self._wake_workers)

    def start(self) -> None:
        """Start the threads. Notifications that an earlier process did not send are sent immediately."""
        for thread in (*self._workers, self._closer):
            thread.start()

    def counts(self) -> dict[str, SinkCounts]:
        """Return what was sent since the start, by the name of the sink."""
        return {worker.sink.name: SinkCounts(worker.sent, worker.failed, worker.last_sent) for worker in self._workers}

    def notify(self) -> None:
        """Wake the threads, after alerts have been stored."""
        self._wake_workers()
        self._closer.wake.set()

    def stop(self, drain_seconds: float = 0.0) -> bool:
        """Send notifications for a limited time, then end the threads. Unsent ones stay in the store.

        Args:
            drain_seconds: How long to continue sending; a sink that fails meanwhile is not waited for.

        Returns:
            Whether every notification has been sent to every sink.
        """
        deadline = time.monotonic() + drain_seconds
        self._closer.end(deadline)
        for worker in self._workers:
            worker.drain()
        for worker in self._workers:
            worker.end(deadline)
        return all(worker.drained for worker in self._workers)

    def _wake_workers(self) -> None:
        for worker in self._workers:
            worker.wake.set()


class _Looping(threading.Thread):
    """A thread that repeats `step` until it is halted, whatever the store raises."""

    def __init__(self, name: str, store: Store, clock: Callable[[], float], pause_seconds: float) -> None:
        super().__init__(name=name, daemon=True)
        self.store = store
        self.clock = clock
        self.pause_seconds = pause_seconds
        self.wake = threading.Event()
        self.halted = threading.Event()
        self._problems = ProblemLog()

    def run(self) -> None:
        while not self.halted.is_set():
            try:
                self.step()
                self._problems.resolve(f"{self.name}: works again")
            except StoreError as error:
                self._trip(str(error))
            except Exception as error:  # noqa: BLE001 - the thread's edge: it must continue, and the text of an error may contain a secret
                self._trip(f"unexpected {type(error).__name__}")

    def _trip(self, text: str) -> None:
        self._report(text)
        self.halted.wait(self.pause_seconds)

    def _report(self, text: str) -> None:
        self._problems.report("store", logging.WARNING, f"{self.name}: {text}")

    def step(self) -> None:
        raise NotImplementedError

    def halt(self) -> None:
        self.halted.set()
        self.wake.set()

    def end(self, deadline: float) -> None:
        """Wait for the thread until the deadline, then halt it; a send that hangs is abandoned after a moment."""
        if self.is_alive():
            self.join(max(0.0, deadline - time.monotonic()))
            self.halt()
            self.join(0.5)

    def rest(self, seconds: float) -> None:
        """Wait for some seconds, or until woken."""
        self.wake.wait(max(0.0, seconds))
        self.wake.clear()


class _Closer(_Looping):
    def __init__(
        self, store: Store, clock: Callable[[], float], pause_seconds: float, on_due: Callable[[], None]
    ) -> None:
        super().__init__("closing suppression windows", store, clock, pause_seconds)
        self._on_due = on_due
        self._purge_at = 0.0

    def step(self) -> None:
        self._purge()
        now = self.clock()
        self.store.settle(now)
        due_at = self.store.next_due(now)
        self._on_due()
        self.rest(min(_LOOK_AGAIN_SECONDS, due_at - self.clock()) if due_at is not None else _LOOK_AGAIN_SECONDS)

    def end(self, deadline: float) -> None:
        self.halt()
        super().end(deadline)

    def _purge(self) -> None:
        if time.monotonic() < self._purge_at:
            return
        # One page at a time: the other threads need the store in between.
        if not self.store.purge(self.clock()):
            self._purge_at = time.monotonic() + _PURGE_SECONDS


class _Worker(_Looping):
    def __init__(self, store: Store, sink: Sink, clock: Callable[[], float], pause_seconds: float) -> None:
        super().__init__(f"sending to {sink.name}", store, clock, pause_seconds)
        self.sink = sink
        self.drained = False
        self.sent = 0
        self.last_sent = 0.0
        self.failed = 0
        self._draining = threading.Event()
        self._failures = 0
        self._put_off_until: list[float] = []
        self._sink_problems = ProblemLog()
        self._backoff = Backoff(pause_seconds, _MAX_PAUSE_SECONDS)

    def drain(self) -> None:
        self._draining.set()
        self.wake.set()

    def step(self) -> None:
        now = self.clock()
        page = self.store.unsent(self.sink.name, now, limit=_PAGE)
        if not page:
            self._idle(now)
        for unsent in page:
            if self.halted.is_set() or not self._deliver(unsent):
                break

    def _idle(self, now: float) -> None:
        if self._draining.is_set():
            self.drained = not self.store.unsent(self.sink.name, float("inf"), limit=1)
            self.halt()
            return
        self._put_off_until = [until for until in self._put_off_until if until > now]
        self.rest(min([now + _LOOK_AGAIN_SECONDS, *self._put_off_until]) - self.clock())

    def _deliver(self, unsent: Unsent) -> bool:
        """Send one notification and return whether the sink accepted it; after a failure, wait before returning."""
        try:
            self.sink.send(unsent.notification)
        except SinkBusy as error:
            self._failed(error)
            self.halted.wait(error.retry_after_seconds)
            return False
        except SinkRefused as error:
            self._refused(unsent, error)
            return False
        except DeliveryError as error:
            self._unreachable(unsent, error)
            return False
        except Exception as error:  # noqa: BLE001 - the thread's edge: a bug in a sink must not end it
            self._refused(unsent, SinkRefused(f"unexpected {type(error).__name__} in the sink"))
            return False
        self._sent(unsent)
        return True

    def _sent(self, unsent: Unsent) -> None:
        self._failures = 0
        self.sent += 1
        self.last_sent = self.clock()
        self._sink_problems.resolve(f"{self.name}: works again")
        self._in_store(lambda: self.store.mark_sent([unsent.notification.id], self.sink.name, self.clock()))

    def _failed(self, error: DeliveryError) -> None:
        self._failures += 1
        self.failed += 1
        self._sink_problems.report("sink", logging.WARNING, f"{self.name}: {error}")

    def _refused(self, unsent: Unsent, error: SinkRefused) -> None:
        self._failed(error)
        self._put_off(unsent, _REFUSED.seconds(unsent.attempts + 1))
        self._draining.wait(self._backoff.equal_jitter(self._failures))

    def _unreachable(self, unsent: Unsent, error: DeliveryError) -> None:
        self._failed(error)
        pause = self._backoff.equal_jitter(self._failures)
        # Twice the pause, so that the notifications behind this one are tried first.
        self._put_off(unsent, 2 * pause)
        if self._draining.wait(pause):  # draining does not wait for an unavailable sink
            self.halt()

    def _put_off(self, unsent: Unsent, seconds: float) -> None:
        now = self.clock()
        until = now + seconds
        # Stays short: an hour of failures at most.
        self._put_off_until = [until, *(other for other in self._put_off_until if other > now)]
        self._in_store(lambda: self.store.put_off(unsent.notification.id, self.sink.name, until))

    def _in_store(self, change: Callable[[], None]) -> None:
        """Make a change, with retries without a limit: a sent notification that is not marked would be sent again."""
        while True:
            try:
                change()
            except StoreError as error:
                self._report(str(error))
                if not self.halted.wait(self.pause_seconds):
                    continue
            return
