"""The windows that a process counts across batches, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vaultwatch.detection.counting import Held, Window, late_before, surplus
from vaultwatch.detection.ordered import has_chain
from vaultwatch.detection.ordered import surplus as surplus_points
from vaultwatch.detection.windows import WindowKey


class Windows:
    """Windows that are joined from what several batches, and other processes, have counted.

    `dropped` is how many were given up, because there were too many: see `surplus`.

    Args:
        max_windows: The most windows.
        max_hashes: The most hashes, of all windows together.
        late_seconds: A window that ended so long before the latest makes room for others first, and is not `dropped`.
        chains: The rules whose windows look for a chain of points, with the number of its steps. What is given up of
            one counts as `dropped`.
    """

    def __init__(self, max_windows: int, max_hashes: int, late_seconds: float, chains: Mapping[str, int]) -> None:
        self.dropped = 0
        self.chains = chains
        self._windows: dict[WindowKey, Window] = {}
        self._max_windows = max_windows
        self._max_hashes = max_hashes
        self._late_seconds = late_seconds
        self._hashes = 0

    def join(self, key: WindowKey, part: Window) -> Window:
        """Add what was counted elsewhere in a window, and return the whole window.

        Args:
            key: The window.
            part: What was counted elsewhere.
        """
        if len(self._windows) >= self._max_windows or self._hashes >= self._max_hashes:
            self._make_room()
        window = self._windows.setdefault(key, Window(part.first, part.last, part.sample))
        if part.reached or window.reached:
            self.reach(window)
        else:
            before = len(window.hashes)
            window.join(part)
            self._hashes += len(window.hashes) - before
            self._prune(key, window)
        return window

    def has_reached(self, key: WindowKey, window: Window, threshold: int) -> bool:
        """Return whether a window has reached its threshold, or has a chain."""
        steps = self.chains.get(key.rule)
        return len(window.hashes) >= threshold and (steps is None or has_chain(key, window.hashes, steps))

    def learn(self, key: WindowKey, window: Window, hashes: Collection[int]) -> None:
        """Add what all processes that share a window have counted in it; from then on it is shared."""
        before = len(window.hashes)
        window.hashes.update(hashes)
        self._hashes += len(window.hashes) - before
        self._prune(key, window)
        window.shared = len(window.hashes)

    def reach(self, window: Window) -> None:
        """Note that a window has reached its threshold: nothing is counted in it any more."""
        self._hashes -= len(window.hashes)
        window.hashes, window.reached = set(), True

    def _prune(self, key: WindowKey, window: Window) -> None:
        """Keep only the points of a window that can decide whether it has a chain."""
        if (steps := self.chains.get(key.rule)) is not None:
            gone, given_up = surplus_points(key, window.hashes, steps)
            window.hashes -= gone
            self._hashes -= len(gone)
            self.dropped += given_up

    def _make_room(self) -> None:
        held = [Held(key, key.ends, len(window.hashes), window.reached) for key, window in self._windows.items()]
        before = late_before(held, self._late_seconds)
        for key, is_lost in surplus(held, self._max_windows, self._max_hashes, before):
            self._hashes -= len(self._windows.pop(key).hashes)
            self.dropped += is_lost
