"""Time that a test may move on, and who looks for work when time or anything else has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread

_LOOK_AGAIN_SECONDS = 1.0


class Clock:
    """Seconds since the epoch, and how far they were moved on; and how much has happened after which there may be work.

    `file` has, for other processes, how far the time was moved.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.changed = Condition()
        self.changes = 0
        self.stopped = False
        self._moved = 0.0
        self.move(0.0)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._moved

    def move(self, seconds: float) -> None:
        """Let it be that much later."""
        self._moved += seconds
        new = self.file.with_suffix(".new")
        new.write_text(str(self._moved))
        new.replace(self.file)
        self.note()

    def note(self) -> None:
        """There may be work."""
        with self.changed:
            self.changes += 1
            self.changed.notify_all()

    def stop(self) -> None:
        """Let every worker end after what it does now."""
        self.stopped = True
        self.note()


class Worker(Thread):
    """Calls `step` until that says that it found nothing to do; then again after each change, and each second."""

    def __init__(self, name: str, clock: Clock, step: Callable[[], bool]) -> None:
        super().__init__(name=name)
        self.error: Exception | None = None
        self._clock, self._step = clock, step
        self._rested_at = -1

    @property
    def idle(self) -> bool:
        """Whether it found nothing to do since the last change."""
        return self._rested_at == self._clock.changes

    def run(self) -> None:
        """Until the clock stops."""
        try:
            while not self._clock.stopped:
                before = self._clock.changes
                if not self._step():
                    self._rest(before)
        except Exception as error:  # noqa: BLE001  the thread's outermost edge; `run_until_idle` raises it
            self.error = error
            self._clock.note()

    def _rest(self, before: int) -> None:
        with self._clock.changed:
            self._rested_at = before
            self._clock.changed.notify_all()
            self._clock.changed.wait_for(lambda: self._clock.changes != before, _LOOK_AGAIN_SECONDS)
