"""Count what happens in windows of time, in any order, each thing once, in bounded memory.

A window is as long as its correlation's timespan, and a new one begins every half timespan, aligned to the epoch: so
whatever happens within half a timespan is within one window. Windows with an even number follow each other; one with an
odd number is between two of them, and raises no alert of its own if all that it counts is within one of these.

A count is a set of 8-byte hashes: a repeat, a second audit device or a record that is delivered again never counts
twice, and two sets of one window can be merged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from vaultwatch.detection.ordered import has_chain, surplus
from vaultwatch.detection.windows import Half, WindowKey, windows_around
from vaultwatch.reading.records import Origin

MAX_WINDOWS = 20_000
MAX_HASHES = 500_000
"""Of all windows together: about 70 bytes each."""
MAX_VALUES = 10
LATE_SECONDS = 3600.0
"""A window that ended so long before the latest makes room for others before one that is still counting does."""
_NEWEST = 10
"""Which is the latest window: the newest tenth does not decide, because entries with forged times could be in it."""
_KEPT = 0.75


Sample: TypeAlias = bytes | dict[str, Any]
"""What is kept of a record: an audit entry as it is, or a part of a record."""


class Thing(NamedTuple):
    """What is counted: an 8-byte hash, and a text for people."""

    hash: int
    text: str


class Occurrence(msgspec.Struct, frozen=True):
    """A record that was counted.

    Attributes:
        moment: Seconds since the epoch.
        time: As logged.
        event_key: Identifies its event.
        origin: Where it came from.
    """

    moment: float
    time: str
    event_key: str
    origin: Origin

    @property
    def order(self) -> tuple[float, str]:
        """What occurrences are sorted by."""
        return self.moment, self.event_key


class Window(msgspec.Struct):
    """What was counted in one window of one group; `sample` is the record that was counted first, or a part.

    Once its count has reached the threshold, it has no hashes any more. If it is shared with other processes, `shared`
    is how many of its hashes they know, and `is_spread` says that they counted something in both halves of it. If it
    looks for a chain (`vaultwatch.detection.ordered`), `shared_slots` is where the points are that they know.
    """

    first: Occurrence
    last: Occurrence
    sample: Sample
    hashes: set[int] = msgspec.field(default_factory=set)
    values: dict[str, None] = msgspec.field(default_factory=dict)
    reached: bool = False
    shared: int = 0
    is_spread: bool = False
    shared_slots: frozenset[tuple[int, int]] = frozenset()

    def note(self, thing: Thing, found: Occurrence) -> None:
        """Count a thing that was not counted yet."""
        self.hashes.add(thing.hash)
        if found.moment > self.last.moment:  # as nearly all are
            self.last = found
        else:
            self.first = min(self.first, found, key=_order)
            self.last = max(self.last, found, key=_order)
        if len(self.values) < MAX_VALUES:
            self.values[thing.text] = None

    def join(self, part: Window) -> None:
        """Add what another process, or another batch, counted in the same window."""
        self.hashes |= part.hashes
        if part.first.order < self.first.order:
            self.first, self.sample = part.first, part.sample
        if part.last.order > self.last.order:
            self.last = part.last
        self.values = dict.fromkeys([*self.values, *part.values][: 2 * MAX_VALUES])
        for text in list(self.values)[MAX_VALUES:]:
            del self.values[text]


CountedWindow: TypeAlias = tuple[WindowKey, Window]


def is_within_another(key: WindowKey, window: Window) -> bool:
    """Return whether a window raises no alert, because all that it counts is within one that does."""
    is_between = key.number % 2 == 1 and not window.is_spread
    return is_between and key.half_of(window.first.moment) == key.half_of(window.last.moment)


_order = attrgetter("order")


class Counting:
    """The windows that are being counted.

    `dropped` is how many were dropped, with their counts, because there were too many: the smallest ones, so that a
    number of groups that a client makes up does not end the count of one that is near its threshold. A window that made
    room for later ones counts, too, if something is counted in it after that: then those were of forged times, or the
    logs are not read in the order of their times.

    Args:
        max_windows: The most windows.
        max_hashes: The most hashes, of all windows together.
        late_seconds: A window that ended so long before the latest makes room for others first, and is not `dropped`.

    Attributes:
        chains: The rules whose windows look for a chain of points, with the number of its steps. What is given up of
            one counts as `dropped`.
    """

    def __init__(
        self, max_windows: int = MAX_WINDOWS, max_hashes: int = MAX_HASHES, late_seconds: float = LATE_SECONDS
    ) -> None:
        self.chains: Mapping[str, int] = {}
        self.windows: dict[WindowKey, Window] = {}
        self.dropped = 0
        self._around: dict[Half, Sequence[CountedWindow]] = {}
        self._max_windows = max_windows
        self._max_hashes = max_hashes
        self._late_seconds = late_seconds
        self._late_before = -math.inf
        """Windows that ended before this have made room for others."""
        self._hashes = 0

    def count(
        self,
        half: Half,
        threshold: int,
        thing: Thing,
        occurrence: Callable[[], Occurrence],
        sample: Callable[[], Sample],
    ) -> list[CountedWindow]:
        """Count a thing in both windows that a half timespan is in, and return those that it makes raise an alert.

        Args:
            half: The half timespan.
            threshold: The count that is looked for.
            thing: What is counted.
            occurrence: Returns the record; called if the thing is new in one of the windows.
            sample: Returns what to keep of the record, to show it.
        """
        around = self._around.get(half)
        if around is None or self._is_full:
            return self._count_first(half, threshold, thing, occurrence(), sample)
        number, found, out = thing.hash, None, list[CountedWindow]()
        for key, window in around:
            if window.reached or number in window.hashes:
                continue
            found = found or occurrence()
            if self._note(key, window, threshold, thing, found):
                out.append((key, window))
        return out

    def _count_first(
        self, half: Half, threshold: int, thing: Thing, found: Occurrence, sample: Callable[[], Sample]
    ) -> list[CountedWindow]:
        keys = windows_around(half)
        reached = [(key, window) for key in keys if (window := self.add(key, threshold, thing, found, sample))]
        if all(key in self.windows for key in keys):  # the second may have taken the room of the first
            self._around[half] = [(key, self.windows[key]) for key in keys]
        return reached

    def add(
        self,
        key: WindowKey,
        threshold: int,
        thing: Thing,
        found: Occurrence,
        sample: Callable[[], Sample],
    ) -> Window | None:
        """Count a thing in one window, and return the window if that makes it raise an alert.

        Args:
            key: The window.
            threshold: The count that is looked for.
            thing: What is counted.
            found: The record.
            sample: Returns what to keep of the record, to show it.
        """
        if self._is_full:
            self._make_room()
        window = self.windows.get(key)
        if window is None:
            self.dropped += key.ends < self._late_before
            window = self.windows[key] = Window(found, found, sample())
        if window.reached or thing.hash in window.hashes:
            return None
        return window if self._note(key, window, threshold, thing, found) else None

    def _note(self, key: WindowKey, window: Window, threshold: int, thing: Thing, found: Occurrence) -> bool:
        """Count a thing that is new in a window, and return whether that makes it raise an alert."""
        window.note(thing, found)
        self._hashes += 1
        if self.chains:
            self._prune(key, window)
        if len(window.hashes) < threshold or not self.has_reached(key, window, threshold):
            return False
        self.reach(window)
        return not is_within_another(key, window)

    def has_reached(self, key: WindowKey, window: Window, threshold: int) -> bool:
        """Return whether a window has reached its threshold, or has a chain."""
        steps = self.chains.get(key.rule)
        return len(window.hashes) >= threshold and (steps is None or has_chain(key, window.hashes, steps))

    def _prune(self, key: WindowKey, window: Window) -> None:
        """Keep only the points of a window that can decide whether it has a chain."""
        if (steps := self.chains.get(key.rule)) is not None:
            gone, given_up = surplus(key, window.hashes, steps)
            window.hashes -= gone
            self._hashes -= len(gone)
            self.dropped += given_up

    def reach(self, window: Window) -> None:
        """Note that a window has reached its threshold: nothing is counted in it any more."""
        self._hashes -= len(window.hashes)
        window.hashes, window.reached = set(), True

    def join(self, key: WindowKey, part: Window) -> Window:
        """Add what was counted elsewhere in a window, and return the whole window.

        Args:
            key: The window.
            part: What was counted elsewhere.
        """
        if self._is_full:
            self._make_room()
        window = self.windows.setdefault(key, Window(part.first, part.last, part.sample))
        if part.reached or window.reached:
            self.reach(window)
        else:
            before = len(window.hashes)
            window.join(part)
            self._hashes += len(window.hashes) - before
            self._prune(key, window)
        return window

    def learn(self, key: WindowKey, window: Window, hashes: Collection[int]) -> None:
        """Add what all processes that share a window have counted in it; from then on it is shared."""
        before = len(window.hashes)
        window.hashes.update(hashes)
        self._hashes += len(window.hashes) - before
        self._prune(key, window)
        window.shared = len(window.hashes)

    def largest(self, most: int) -> list[CountedWindow]:
        """Return the windows with their keys, without the smallest if there are more than `most`; these are dropped."""
        found = sorted(self.windows.items(), key=_worth)
        left_out = len(found) - most
        self.dropped += sum(not window.reached for _, window in found[: max(0, left_out)])
        return found[max(0, left_out) :]

    @property
    def _is_full(self) -> bool:
        return len(self.windows) >= self._max_windows or self._hashes >= self._max_hashes

    def has_room(self, windows: int, hashes: int) -> bool:
        """Return whether so many windows and hashes can be added without dropping one."""
        return len(self.windows) + windows < self._max_windows and self._hashes + hashes < self._max_hashes

    def _make_room(self) -> None:
        self._around.clear()
        latest = sorted(key.ends for key in self.windows)[-1 - len(self.windows) // _NEWEST]
        late = [key for key in self.windows if key.ends + self._late_seconds < latest]
        if late:
            self._late_before = max(self._late_before, latest - self._late_seconds)
        for key in late:
            self._drop(key)
        for key, window in sorted(self.windows.items(), key=_worth):
            if len(self.windows) <= self._max_windows * _KEPT and self._hashes <= self._max_hashes * _KEPT:
                return
            self.dropped += not window.reached
            self._drop(key)

    def _drop(self, key: WindowKey) -> None:
        self._hashes -= len(self.windows.pop(key).hashes)


def _worth(item: tuple[WindowKey, Window]) -> tuple[bool, int, float]:
    """Return a sort key, the least worth first: one that has reached its threshold could only raise its alert again."""
    key, window = item
    return not window.reached, len(window.hashes), key.ends
