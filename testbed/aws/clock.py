"""A clock that tests can move forward, and the threads that look for work when anything has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread

_LOOK_AGAIN_SECONDS = 1.0


class Clock:
    """The time of the local AWS: that of the machine, plus the seconds by which tests moved it forward.

    A demo lets it begin behind that of the machine, and moves it forward until both agree.

    It also counts changes after which there may be work, and wakes the workers.

    Attributes:
        file: Contains the seconds by which the clock was moved, for other processes.
        changed: Notified after each change.
        changes: How many changes there were.
        row_changes: How many changes of a table, after which only the pollers of its stream have work.
        stopped: Whether the workers should end.
    """

    def __init__(self, file: Path, behind_seconds: float = 0.0) -> None:
        self.file = file
        self.changed = Condition()
        self.changes = self.row_changes = 0
        self.stopped = False
        self._moved = 0.0
        self.move(-behind_seconds)

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time() + self._moved

    def move(self, seconds: float) -> None:
        """Move the clock forward."""
        self._moved += seconds
        new = self.file.with_suffix(".new")
        new.write_text(str(self._moved))
        new.replace(self.file)
        self.note()

    def note(self) -> None:
        """Note a change after which there may be work."""
        with self.changed:
            self.changes += 1
            self.changed.notify_all()

    def note_rows(self) -> None:
        """Note a change of a table."""
        with self.changed:
            self.row_changes += 1
            self.changed.notify_all()

    def stop(self) -> None:
        """Let every worker end after its present step."""
        self.stopped = True
        self.note()


class Worker(Thread):
    """Calls `step` until it returns False (no work), then again after each change and each second.

    Args:
        name: Its name, for errors.
        clock: Notes changes.
        step: Does one piece of work, and returns whether there was any.
        of_rows: Whether changes of tables give it work.
    """

    def __init__(self, name: str, clock: Clock, step: Callable[[], bool], *, of_rows: bool = False) -> None:
        super().__init__(name=name)
        self.error: Exception | None = None
        self._clock, self._step, self._of_rows = clock, step, of_rows
        self._rested_at = (-1, -1)

    @property
    def idle(self) -> bool:
        """Whether it has found no work since the last change."""
        return self._rested_at == self._changes

    def run(self) -> None:
        """Work until the clock stops."""
        try:
            while not self._clock.stopped:
                before = self._changes
                if not self._step():
                    self._rest(before)
        except Exception as error:  # noqa: BLE001  the thread's outermost edge; `run_until_idle` raises it
            self.error = error
            self._clock.note()

    @property
    def _changes(self) -> tuple[int, int]:
        return self._clock.changes, self._clock.row_changes if self._of_rows else 0

    def _rest(self, before: tuple[int, int]) -> None:
        with self._clock.changed:
            self._rested_at = before
            self._clock.changed.notify_all()
            self._clock.changed.wait_for(lambda: self._changes != before, _LOOK_AGAIN_SECONDS)
