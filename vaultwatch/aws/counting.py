"""Count for correlations across batches, segments and functions: `evaluate` and `sweep` do it after each evaluation.

A process keeps what it has counted in memory, from one invocation to the next. Of a window that holds a quarter of the
threshold that other processes do not know of yet, it adds all to the table, and gets what all have counted. So a
process withholds less than a quarter of a threshold, and what does not come near one costs no write. Of a window that
looks for rules that match one after the other, it adds points in each eighth of the timespan once.

A window is done only once its alert is published: if that fails, the same batch raises it again.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.aws.windows import Windows
from vaultwatch.detection.correlation import verdict_of
from vaultwatch.detection.counting import CountedWindow, Window, is_within_another
from vaultwatch.detection.ordered import slots
from vaultwatch.detection.windows import WindowKey, joined
from vaultwatch.seals import Seal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from vaultwatch.batches import Findings
    from vaultwatch.rules.correlations import Correlated, Correlations
    from vaultwatch.store.counts import Counts, Shared
    from vaultwatch.store.dynamodb.counts import DynamoCounts

MAX_WINDOWS = 10_000
MAX_HASHES = 200_000
MAX_SHARED = 100
"""Windows that one evaluation adds to the table, each with one call: 100 calls take about a second."""
LATE_SECONDS = 900.0
KEPT_SECONDS = 2 * 86400.0
"""How long the table keeps a window after it was changed: until sweep has read the segments of its time."""
_SPARE_SECONDS = 30.0
_SHARE = 4
_log = logging.getLogger(__name__)


def open_counts(client: DynamoDBClient, table: str, seal: Seal) -> DynamoCounts:
    """Return the counts in the alerts table; imported when they are first used, like the store."""
    from vaultwatch.store.dynamodb.counts import DynamoCounts

    return DynamoCounts(client, table, seal)


class SharedCounting:
    """What one process has counted, and shares with others. If the table fails, it counts alone.

    Args:
        correlations: What is counted.
        counts: Returns where counts are shared; called when there is something to share.
        max_windows: The most windows in memory; see `Windows`.
    """

    def __init__(
        self, correlations: Correlations, counts: Callable[[], Counts], max_windows: int = MAX_WINDOWS
    ) -> None:
        self._by_name = correlations.by_name
        self._open_counts = counts
        self._windows = Windows(max_windows, MAX_HASHES, LATE_SECONDS, correlations.chains)

    def take(self, findings: Findings, seconds_left: Callable[[], float]) -> Generator[list[Alert], None, None]:
        """Count what one evaluation has counted, and raise the alerts that this leads to.

        Args:
            findings: What the evaluation found; gets the number of windows that could not be kept or shared.
            seconds_left: Returns how long the function may still run.

        Yields:
            One alert, which is raised again by the same things unless the next one is asked for.
        """
        dropped = self._windows.dropped
        touched = self._join(findings.counted)
        findings.groups_dropped += self._windows.dropped - dropped
        sharing = _Sharing(self._open_counts, seconds_left)
        for key, window in touched:
            one = self._by_name[key.rule]
            reached_elsewhere = self._share(sharing, key, window, one)
            if reached_elsewhere or self._windows.has_reached(key, window, one.correlation.threshold):
                if not is_within_another(key, window):
                    yield [alert_of(verdict_of(one, key, window))]
                if not reached_elsewhere and window.shared:
                    sharing.mark_reached(key)
                self._windows.reach(window)
        findings.groups_dropped += sharing.unshared

    def _join(self, counted: Sequence[CountedWindow]) -> list[CountedWindow]:
        """Return the windows that have not reached their thresholds: the largest first, of equal ones the even ones."""
        touched = {key: self._windows.join(key, part) for key, part in counted}
        left = [(key, window) for key, window in touched.items() if not window.reached]
        return sorted(left, key=lambda one: (-len(one[1].hashes), one[0].number % 2))

    def _share(self, sharing: _Sharing, key: WindowKey, window: Window, one: Correlated) -> bool:
        """Add a window to the table if it is time, and return whether it reached its threshold before that."""
        if self._windows.has_reached(key, window, one.correlation.threshold) or not self._is_time(key, window, one):
            return False
        shared = sharing.add(key, window)
        if shared is None:
            return False
        self._windows.learn(key, window, shared.hashes)
        if key.rule in self._windows.chains:
            window.shared_slots = slots(key, window.hashes)
        window.is_spread |= len(shared.halves) > 1
        return shared.reached

    def _is_time(self, key: WindowKey, window: Window, one: Correlated) -> bool:
        """Return whether a window holds a quarter of its threshold, or points, that the table does not have."""
        if key.rule in self._windows.chains:
            return not slots(key, window.hashes) <= window.shared_slots
        return _SHARE * (len(window.hashes) - window.shared) >= one.correlation.threshold


class _Sharing:
    """Adds windows to the table during one invocation, as far as there is time and the table answers."""

    def __init__(self, counts: Callable[[], Counts], seconds_left: Callable[[], float]) -> None:
        self._counts = counts
        self._seconds_left = seconds_left
        self._left = MAX_SHARED
        self.unshared = 0
        """How many windows could not be added."""

    def add(self, key: WindowKey, window: Window) -> Shared | None:
        """Add a window to the table, and return what all processes have counted in it; None if that fails."""
        from vaultwatch.store import StoreError, StoreRefused

        halves = {key.half_of(window.first.moment), key.half_of(window.last.moment)}
        if self._left > 0 and self._seconds_left() > _SPARE_SECONDS:
            self._left -= 1
            try:
                return self._counts().add(_name(key), window.hashes, halves, time.time() + KEPT_SECONDS)
            except StoreError as error:
                self._note(error, goes_on=isinstance(error, StoreRefused))
        self.unshared += 1
        return None

    def mark_reached(self, key: WindowKey) -> None:
        """Note in the table that a window has reached its threshold, which saves its other writers further writes."""
        from vaultwatch.store import StoreError

        try:
            self._counts().mark_reached(_name(key))
        except StoreError as error:
            self._note(error, goes_on=False)

    def _note(self, error: Exception, *, goes_on: bool) -> None:
        _log.warning("counts are not shared with other functions: %s", error)
        self._left = self._left if goes_on else 0


def _name(key: WindowKey) -> str:
    parts = (key.rule, *key.group, str(key.number), str(key.timespan_seconds))
    return hashlib.sha256(joined(parts).encode("utf-8", "surrogatepass")).hexdigest()
