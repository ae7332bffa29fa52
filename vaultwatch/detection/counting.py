"""Count what happens in windows of time, in any order, each thing once, in bounded memory.

A window is as long as its correlation's timespan, and a new one begins every half timespan, aligned to the epoch: so
whatever happens within half a timespan is within one window. Windows with an even number follow each other; one with an
odd number is between two of them, and raises no alert of its own if all that it counts is within one of these.

Each thing is kept once, in the half timespan that it happens in; a window is two of these, and is put together when its
count is asked for. Few groups ever come near a threshold, so that this is rare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from vaultwatch.detection.ordered import has_chain
from vaultwatch.detection.ordered import surplus as surplus_points
from vaultwatch.detection.windows import Half, WindowKey, hash_of, windows_around
from vaultwatch.reading.records import Origin, Place, origin_at

MAX_HALVES = 20_000
MAX_THINGS = 250_000
"""In all halves together: about 200 bytes each."""
MAX_VALUES = 10
LATE_SECONDS = 3600.0
"""What ended so long before the latest makes room for others before what is still counting does."""
_NEWEST = 10
"""Which is the latest: the newest tenth does not decide, because entries with forged times could be in it."""
_KEPT = 0.75
_LONGEST_THING = 64


Sample: TypeAlias = bytes | dict[str, Any]
"""What is kept of a record: an audit entry as it is, or a part of a record."""
Thing: TypeAlias = str | int
"""What is counted: its text, the 8-byte hash of one that is long, or a point of a chain."""


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


class Noted(msgspec.Struct, frozen=True, gc=False):
    """A record that was counted, as it is kept while it is read.

    Attributes:
        moment: Seconds since the epoch.
        time: As logged.
        event_key: Identifies its event.
        place: Where it came from.
    """

    moment: float
    time: str
    event_key: str
    place: Place

    @property
    def order(self) -> tuple[float, str]:
        """What occurrences are sorted by."""
        return self.moment, self.event_key

    @property
    def occurrence(self) -> Occurrence:
        """The record, to show it."""
        return Occurrence(self.moment, self.time, self.event_key, origin_at(self.place))


class Window(msgspec.Struct):
    """What was counted in one window of one group; `sample` is the record that was counted first, or a part.

    A count is a set of 8-byte hashes, so that those of several processes can be merged. Once it has reached the
    threshold, it has no hashes any more. If it is shared with other processes, `shared` is how many of its hashes they
    know, and `is_spread` says that they counted something in both halves of it. If it looks for a chain
    (`vaultwatch.detection.ordered`), the hashes are points, and `shared_slots` is where those are that they know.
    `clusters` are those of up to ten records.
    """

    first: Occurrence
    last: Occurrence
    sample: Sample
    hashes: set[int] = msgspec.field(default_factory=set)
    values: dict[str, None] = msgspec.field(default_factory=dict)
    clusters: tuple[str, ...] = ()
    reached: bool = False
    shared: int = 0
    is_spread: bool = False
    shared_slots: frozenset[tuple[int, int]] = frozenset()

    def join(self, part: Window) -> None:
        """Add what was counted elsewhere in the same window: by another process, or in another batch."""
        self.hashes |= part.hashes
        if part.first.order < self.first.order:
            self.first, self.sample = part.first, part.sample
        if part.last.order > self.last.order:
            self.last = part.last
        self.values = dict.fromkeys(islice({**self.values, **part.values}, MAX_VALUES))
        self.clusters = _first_of((*self.clusters, *part.clusters))


CountedWindow: TypeAlias = tuple[WindowKey, Window]


def is_within_another(key: WindowKey, window: Window) -> bool:
    """Return whether a window raises no alert, because all that it counts is within one that does."""
    is_between = key.number % 2 == 1 and not window.is_spread
    return is_between and key.half_of(window.first.moment) == key.half_of(window.last.moment)


def thing_of(text: str) -> Thing:
    """Return what is counted by its text."""
    return text if len(text) <= _LONGEST_THING else hash_of(text)


class HalfCount(msgspec.Struct):
    """What was counted in one half timespan of a group.

    Attributes:
        number: How many were begun before it.
        first: The first record.
        last: The last one.
        sample: The record that was counted first, or a part of it.
        clusters: Where it was counted, in this order, as far as that is shown.
        things: What was counted, in this order, with texts for people as far as they are shown.
        is_near: Whether it, or one beside it, holds half of the threshold or more.
        is_done: Whether both windows that it is in have reached the threshold: nothing is counted any more.
    """

    number: int
    first: Noted
    last: Noted
    sample: Sample
    clusters: tuple[str, ...]
    things: dict[Thing, str] = msgspec.field(default_factory=dict)
    is_near: bool = False
    is_done: bool = False


_order = attrgetter("order")


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What a record adds to the count of a half timespan, in a part of the input that is read ahead.

    Attributes:
        number: How many steps were before it in the part.
        thing: What is counted.
        text: The same for people, if it is shown.
        moment: Seconds since the epoch.
        time: As logged.
        event_key: Identifies its event.
        origin: Where it came from, as it is encoded in the fewest steps: the last two are its position in the part, ""
            and 0 if it has none.
    """

    number: int
    thing: Thing
    text: str
    moment: float
    time: str
    event_key: str
    origin: tuple[str, str, str, str, int]

    def noted(self, lines: int) -> Noted:
        """Return the record, if the part begins behind so many lines of its log."""
        cluster, node, lane, log, line = self.origin
        place = Origin(cluster, node, lane), log, line + lines if log else 0
        return Noted(self.moment, self.time, self.event_key, place)


class HalfPart(msgspec.Struct, frozen=True, array_like=True):
    """What was counted in one half timespan of a group, in a part of the input that is read ahead.

    Attributes:
        key: The half timespan.
        threshold: The count that is looked for.
        sample: What is kept of the record that was counted first.
        steps: What was counted, at least one step.
    """

    key: Half
    threshold: int
    sample: Sample
    steps: list[Step]


class Held(NamedTuple):
    """A count that takes room: when it ends, how many things it has, and whether it can raise no alert any more."""

    key: WindowKey
    ends: float
    things: int
    is_done: bool


def late_before(held: Sequence[Held], late_seconds: float) -> float:
    """Return before which moment counts have ended long before the latest.

    Args:
        held: All counts, at least one.
        late_seconds: How long before the latest is long before.
    """
    return sorted(one.ends for one in held)[-1 - len(held) // _NEWEST] - late_seconds


def surplus(held: Sequence[Held], most: int, most_things: int, before: float) -> Iterator[tuple[WindowKey, bool]]:
    """Yield the counts to give up, so that there is room, and for each whether something is lost.

    Those that ended before some moment are first, then those that are done, then the smallest: so a number of
    groups that a client makes up does not end the count of one that is near its threshold.

    Args:
        held: All counts, at least one.
        most: How many there may be.
        most_things: How many things they may have together.
        before: The moment: see `late_before`.
    """
    left, things = len(held), sum(one.things for one in held)
    for one in sorted(held, key=lambda one: (one.ends >= before, not one.is_done, one.things, one.ends)):
        is_late = one.ends < before
        if not is_late and left <= most * _KEPT and things <= most_things * _KEPT:
            return
        yield one.key, not (is_late or one.is_done)
        left, things = left - 1, things - one.things


class Counting:
    """What is counted, in memory.

    `dropped` is how many counts were given up, because there were too many: see `surplus`. One that made room for later
    ones counts, too, if something is counted in it after that: then those were of forged times, or the logs are not
    read in the order of their times.

    Args:
        max_halves: The most half timespans of groups.
        max_things: The most things, in all of them together.

    Attributes:
        chains: The rules whose windows look for a chain of points, with the number of its steps. What is given up of
            one counts as `dropped`.
    """

    def __init__(self, max_halves: int = MAX_HALVES, max_things: int = MAX_THINGS) -> None:
        self.chains: Mapping[str, int] = {}
        self.dropped = 0
        self._halves: dict[Half, HalfCount] = {}
        self._done: set[WindowKey] = set()
        self._count_begun = 0
        self._max_halves = max_halves
        self._max_things = max_things
        self._things = 0
        self._late_before = -math.inf
        """What ended before this has made room for others."""

    def count(
        self,
        key: Half,
        threshold: int,
        thing: Thing,
        text: str,
        found: Noted,
        sample: Callable[[], Sample],
    ) -> Sequence[CountedWindow]:
        """Count a thing in a half timespan, and return the windows that this makes raise an alert.

        Args:
            key: The half timespan.
            threshold: The count that is looked for.
            thing: What is counted.
            text: The same for people.
            found: The record.
            sample: Returns what to keep of the record, to show it.
        """
        half = self._halves.get(key)
        if half is None or self._things >= self._max_things:
            half = self._begin(key, found, sample)
        things = half.things
        if thing in things or half.is_done:
            return ()
        self._add(half, thing, text, found)
        if key[0] in self.chains:
            self._prune(key, half, self.chains[key[0]])
        if not half.is_near:
            if 2 * len(things) < threshold:
                return ()
            for one in (half, *self._beside(key)):
                one.is_near = True
        return self._reached(key, threshold)

    def join(self, parts: Sequence[HalfPart], lines: int) -> list[HalfPart]:
        """Count what was counted in a part of the input, except in groups of which a window could raise an alert.

        Args:
            parts: The halves, each once, in the order in which they were begun. There is room for them.
            lines: The lines of the log before that part.

        Returns:
            The halves that are left: when their windows raise alerts, and what these show, depends on the order of all
            steps in them.
        """
        halves = [self._halves.get(one.key) for one in parts]
        near: set[tuple[str, tuple[str, ...]]] = set()
        for known, one in zip(halves, parts, strict=True):
            is_near = known.is_near if known else self._begins_near(one.key)
            if is_near or 2 * (len(known.things if known else ()) + len(one.steps)) >= one.threshold:
                near.add(one.key[:2])
        left = []
        for known, one in zip(halves, parts, strict=True):
            repeats = known and not known.things.keys().isdisjoint([step.thing for step in one.steps])
            if repeats or one.key[:2] in near or one.key[0] in self.chains:
                left.append(one)
                continue
            half = known or self._begun(one.key, one.steps[0].noted(lines), one.sample, is_near=False)
            for step in one.steps:
                self._add(half, step.thing, step.text, step.noted(lines))
        return left

    def window(self, key: WindowKey) -> Window:
        """Return one window: what was counted in its two halves.

        Raises:
            KeyError: Nothing was.
        """
        halves = sorted(self._halves_of(key), key=attrgetter("number"))
        if not halves:
            raise KeyError(key)
        texts = dict.fromkeys(text for half in halves for text in half.things.values() if text)
        window = Window(
            first=min((half.first for half in halves), key=_order).occurrence,
            last=max((half.last for half in halves), key=_order).occurrence,
            sample=halves[0].sample,
            values=dict.fromkeys(islice(texts, MAX_VALUES)),
            clusters=_first_of(cluster for half in halves for cluster in half.clusters),
            reached=key in self._done,
        )
        if not window.reached:
            things = (thing for half in halves for thing in half.things)
            window.hashes = {hash_of(thing) if isinstance(thing, str) else thing for thing in things}
        return window

    def largest(self, most: int) -> list[CountedWindow]:
        """Return the windows with their keys, without the smallest if there are more than `most`; these are dropped."""
        keys = dict.fromkeys(key for half in self._halves for key in windows_around(half))
        found = sorted(((key, self.window(key)) for key in keys), key=_worth)
        left_out = found[: max(0, len(found) - most)]
        self.dropped += sum(not window.reached for _, window in left_out)
        return found[len(left_out) :]

    def has_room(self, halves: int, things: int) -> bool:
        """Return whether so many halves and things can be added without giving up a count."""
        return len(self._halves) + halves <= self._max_halves and self._things + things <= self._max_things

    def _begin(self, key: Half, found: Noted, sample: Callable[[], Sample]) -> HalfCount:
        """Return a half that is counted for the first time, or the one that is there after room was made."""
        if len(self._halves) >= self._max_halves or self._things >= self._max_things:
            self._make_room()
        half = self._halves.get(key)
        return half or self._begun(key, found, sample(), is_near=self._begins_near(key))

    def _begun(self, key: Half, found: Noted, sample: Sample, *, is_near: bool) -> HalfCount:
        self.dropped += self._late_before > -math.inf and WindowKey(*key).ends < self._late_before
        half = self._halves[key] = HalfCount(self._count_begun, found, found, sample, (found.place[0].cluster,))
        half.is_near = is_near
        self._count_begun += 1
        return half

    def _add(self, half: HalfCount, thing: Thing, text: str, found: Noted) -> None:
        """Add a thing that is new in a half."""
        things = half.things
        if things:
            if found.moment > half.last.moment:  # as nearly all are
                half.last = found
            else:
                half.first, half.last = min(half.first, found, key=_order), max(half.last, found, key=_order)
            if (cluster := found.place[0].cluster) not in half.clusters:
                half.clusters = _first_of((*half.clusters, cluster))
        things[thing] = text if len(things) < MAX_VALUES else ""
        self._things += 1

    def _reached(self, key: Half, threshold: int) -> Sequence[CountedWindow]:
        """Return the windows around a half that reach the threshold with it, as far as they raise an alert."""
        out: list[CountedWindow] = []
        for one in windows_around(key):
            if one not in self._done and self._has_reached(one, threshold):
                window = self.window(one)
                self._done.add(one)
                self._empty(one)
                if not is_within_another(one, window):
                    out.append((one, window))
        return out

    def _has_reached(self, key: WindowKey, threshold: int) -> bool:
        things = [half.things.keys() for half in self._halves_of(key)]
        if sum(map(len, things)) < threshold:
            return False
        both = things[0] | things[1] if len(things) > 1 else things[0]
        steps = self.chains.get(key.rule)
        return len(both) >= threshold and (steps is None or has_chain(key, _points(both), steps))

    def _prune(self, key: Half, half: HalfCount, steps: int) -> None:
        """Keep only the points that can decide whether there is a chain of so many steps."""
        gone, given_up = surplus_points(WindowKey(*key), _points(half.things), steps)
        for point in gone:
            del half.things[point]
        self._things -= len(gone)
        self.dropped += given_up

    def _empty(self, key: WindowKey) -> None:
        """Forget what was counted in the halves of a window, if nothing is counted in them any more."""
        for number in (key.number, key.number + 1):
            at = (key.rule, key.group, number, key.timespan_seconds)
            half = self._halves.get(at)
            if half and self._done.issuperset(windows_around(at)):
                self._things -= len(half.things)
                half.things, half.is_done = {}, True

    def _halves_of(self, key: WindowKey) -> list[HalfCount]:
        rule, group, number, timespan_seconds = key
        both = (self._halves.get((rule, group, one, timespan_seconds)) for one in (number, number + 1))
        return [half for half in both if half]

    def _beside(self, key: Half) -> list[HalfCount]:
        rule, group, number, timespan_seconds = key
        before = self._halves.get((rule, group, number - 1, timespan_seconds))
        after = self._halves.get((rule, group, number + 1, timespan_seconds))
        return [half for half in (before, after) if half]

    def _begins_near(self, key: Half) -> bool:
        return True in [one.is_near for one in self._beside(key)]

    def _make_room(self) -> None:
        held = [
            Held(WindowKey(*key), WindowKey(*key).ends, len(half.things), half.is_done)
            for key, half in self._halves.items()
        ]
        before = late_before(held, LATE_SECONDS)
        if any(one.ends < before for one in held):
            self._late_before = max(self._late_before, before)
        for key, is_lost in surplus(held, self._max_halves, self._max_things, before):
            self._things -= len(self._halves.pop(key).things)
            self._done.difference_update(windows_around(key))
            self.dropped += is_lost


def _first_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first different ones, as many as are shown."""
    return tuple(islice(dict.fromkeys(texts), MAX_VALUES))


def _worth(item: CountedWindow) -> tuple[bool, int, float]:
    """Return a sort key, the least worth first: one that has reached its threshold could only raise its alert again."""
    key, window = item
    return not window.reached, len(window.hashes), key.ends


def _points(things: Collection[Thing]) -> set[int]:
    return {thing for thing in things if isinstance(thing, int)}
