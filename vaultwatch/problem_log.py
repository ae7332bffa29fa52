"""A log of problems that last: each is reported at once, its repeats at a limited rate, and its end once."""

from __future__ import annotations

import logging
import time

MAX_PROBLEMS = 100

_logger = logging.getLogger("vaultwatch")


class ProblemLog:
    """Logs a problem when it is new, then once per interval with the number of repeats.

    At most 100 problems are remembered: a key may contain text from a log.
    """

    def __init__(self, interval_seconds: float = 60.0) -> None:
        self._interval_seconds = interval_seconds
        self._logged: dict[str, tuple[float, int]] = {}
        self._failures = 0

    def report(self, key: str, level: int, text: str) -> None:
        """Log the text, unless a problem with the same key was logged within the interval."""
        self._failures += 1
        now = time.monotonic()
        logged_at, repeats = self._logged.get(key, (None, 0))
        if logged_at is not None and now - logged_at < self._interval_seconds:
            self._logged[key] = (logged_at, repeats + 1)
            return
        if len(self._logged) >= MAX_PROBLEMS:
            self._logged.clear()
        self._logged[key] = (now, 0)
        _logger.log(level, "%s%s", text, f" (repeated {repeats} times since the last report)" if repeats else "")

    def resolve(self, text: str) -> None:
        """Log that all reported problems are over, with the number of failures; nothing if there were none."""
        if self._failures:
            _logger.info("%s after %d failure%s", text, self._failures, "" if self._failures == 1 else "s")
            self._logged.clear()
            self._failures = 0
