"""Time that a test may move on, and who waits for it or for new work."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class Clock:
    """Seconds since the epoch, and how far they were moved on; and how many writes may have left work, by kind.

    `file` tells other processes how far the time was moved on.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._tell("0")
        self.changed = threading.Condition()
        self.writes: Counter[str] = Counter()
        self.stopped = False
        self._moved = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._moved

    def move(self, seconds: float) -> None:
        """Let it be that much later."""
        with self.changed:
            self._moved += seconds
            self._tell(str(self._moved))
            self.changed.notify_all()

    def _tell(self, moved: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(moved)
        new.replace(self.file)

    def note_write(self, kind: str) -> None:
        """There may be work for those that wait for this kind."""
        with self.changed:
            self.writes[kind] += 1
            self.changed.notify_all()

    def stop(self) -> None:
        """Let every worker end after what it does now."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


@dataclass
class Worker:
    """A thread that calls `step`, which says whether it did something and, if it waits for a time, until when.

    `kind` is that of the writes after which there may be something to do again.
    """

    name: str
    clock: Clock
    kind: str
    step: Callable[[], tuple[bool, float | None]]
    error: Exception | None = None
    _rested_at: int = -1
    _until: float | None = None
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end, after `Clock.stop`."""
        self._thread.join()

    @property
    def idle(self) -> bool:
        """Whether it found nothing to do since the last write and waits for no time that has come."""
        due = self._until is not None and self._until <= self.clock.now()
        return self._rested_at == self.clock.writes[self.kind] and not due

    def _run(self) -> None:
        try:
            while not self.clock.stopped:
                writes = self.clock.writes[self.kind]
                did, until = self.step()
                if not did:
                    self._rest(writes, until)
        except Exception as error:  # noqa: BLE001  the thread's outermost edge; `run_until_idle` raises it
            with self.clock.changed:
                self.error = error
                self.clock.changed.notify_all()

    def _rest(self, writes: int, until: float | None) -> None:
        clock = self.clock
        with clock.changed:
            self._rested_at, self._until = writes, until
            clock.changed.notify_all()
            while not clock.stopped and clock.writes[self.kind] == writes:
                left = None if until is None else until - clock.now()
                if left is not None and left <= 0:
                    break
                clock.changed.wait(left)
            self._rested_at = -1
