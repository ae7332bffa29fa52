"""What the demo prints while it runs: each part of the session, and below it the alerts that its lines raise.

An alert takes a second or two, and the next part begins meanwhile: the heading of a part is printed so much later.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence

from vaultwatch.alerts import Alert
from vaultwatch.printable import one_line
from vaultwatch.rules.facts import Level

_COLORS = {Level.CRITICAL: "1;31", Level.HIGH: "31", Level.MEDIUM: "33", Level.LOW: "36"}
_LATER_SECONDS = 3.0


class Story:
    """Prints the parts of a session with their alerts.

    Args:
        moment: Returns when the line of an alert was sent, in seconds since the epoch; None if that is not known.
        clock: Returns the seconds since the epoch.
    """

    def __init__(self, moment: Callable[[Alert], float | None], clock: Callable[[], float] = time.time) -> None:
        self._moment, self._clock = moment, clock
        self._parts: list[tuple[float, str]] = []
        self._printed = 0
        self._waiting: list[Alert] = []

    def say(self, text: str) -> None:
        """Note that a part begins, from any thread; a later call prints it."""
        self._parts.append((self._clock(), text))

    def show(self, alerts: Sequence[Alert], *, all_parts: bool = False) -> None:
        """Print parts, and the alerts of those that are printed.

        Args:
            alerts: New alerts.
            all_parts: Print all parts and all alerts: nothing more is sent.
        """
        self._waiting += alerts
        before = self._clock() - _LATER_SECONDS
        while True:
            self._print_alerts()
            if self._printed == len(self._parts):
                return
            began, text = self._parts[self._printed]
            if not (all_parts or began <= before or self._printed == 0):
                return
            print(f"\n{one_line(text)}", flush=True)
            self._printed += 1

    def _print_alerts(self) -> None:
        waiting, self._waiting = self._waiting, []
        for alert in waiting:
            part = self._part(alert)
            if part >= self._printed:
                self._waiting.append(alert)
            else:
                _print(alert, "" if part == self._printed - 1 else self._parts[part][1].partition(": ")[0])

    def _part(self, alert: Alert) -> int:
        """Return the number of the part whose lines raised an alert: by default the one that was printed last."""
        moment = self._moment(alert)
        began = [number for number, (at, _) in enumerate(self._parts) if moment is not None and at <= moment]
        return began[-1] if began else self._printed - 1


def _print(alert: Alert, earlier: str) -> None:
    """Print one line for an alert; `earlier` is the part that it belongs to, if it is not the last one."""
    width = max(60, shutil.get_terminal_size((160, 24)).columns)
    level = f"{alert.level:13}"
    if sys.stdout.isatty():
        level = f"\x1b[{_COLORS.get(alert.level, '0')}m{level}\x1b[0m"
    note = "delayed: " if alert.late else f"[{one_line(earlier, 40)}] " if earlier else ""
    shown = one_line(f"{alert.title}: {alert.summary}", width - 17 - len(note))
    print(f"  {level} {note}{shown}", flush=True)
