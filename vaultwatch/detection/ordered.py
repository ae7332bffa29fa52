"""Decide whether rules have matched one after the other, whatever the order in which their matches arrive.

A match is a point: 8 bytes with the step that its rule is, its time in microseconds, and a hash of its event. A set of
points can be merged with another, and a repeat changes nothing. Rules have matched in order if there is a chain: a
point of each step, each later than the one before, and of another event than that. More points never end a chain, so
the order in which they arrive does not matter.

Of the first step only the earliest point counts, of the last one only the latest, and of each also that of another
event: they are all that is kept. Of a step between them, any point may: at most `MAX_POINTS` are kept, spread over the
time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import floor
from typing import TypeAlias

from vaultwatch.detection.windows import WindowKey, hash_of

MAX_STEPS = 16
MAX_POINTS = 64
_EVENT_BITS, _TIME_BITS = 19, 41
"""Two events have the same hash once in half a million times; times are those of 25 days, windows are shorter."""
_STEP_AT = _EVENT_BITS + _TIME_BITS
_EVENT_MASK, _TIME_MASK = (1 << _EVENT_BITS) - 1, (1 << _TIME_BITS) - 1
_SLOTS = 8
_Point: TypeAlias = tuple[int, int, int]
"""Its time since the window begins, its event, and the number that it is."""


def point_of(step: int, moment: float, event_key: str) -> int:
    """Return the match of a rule as a point.

    Args:
        step: Which of the rules it is, from 0.
        moment: The time of the record, in seconds since the epoch.
        event_key: Identifies its event.
    """
    time = floor(moment * 1_000_000) & _TIME_MASK
    return step << _STEP_AT | time << _EVENT_BITS | hash_of(event_key) & _EVENT_MASK


def has_chain(key: WindowKey, points: Iterable[int], steps: int) -> bool:
    """Return whether there is a chain in a window.

    A window between two others has only chains that begin in its first half and end in its second: the others are
    within one of these two.

    Args:
        key: The window.
        points: The points in it.
        steps: How many steps there are.
    """
    found = _by_step(key, points, steps)
    if key.number % 2:
        middle = key.timespan_seconds * 500_000
        found[0] = [point for point in found[0] if point[0] < middle]
        found[-1] = [point for point in found[-1] if point[0] >= middle]
    reached = _first_two(found[0])
    for step in found[1:]:
        reached = _first_two([point for point in step if any(_follows(point, one) for one in reached)])
    return bool(reached)


def surplus(key: WindowKey, points: Collection[int], steps: int) -> tuple[set[int], int]:
    """Return the points in a window that need not be kept, and how many of them might have been part of a chain.

    Args:
        key: The window.
        points: The points in it.
        steps: How many steps there are.
    """
    first, *between, last = _by_step(key, points, steps)
    spread = [_spread(step) for step in between]
    kept = {point[2] for step in (_first_two(first), *spread, _first_two(last[::-1])) for point in step}
    return set(points) - kept, sum(map(len, between)) - sum(map(len, spread))


def slots(key: WindowKey, points: Iterable[int]) -> frozenset[tuple[int, int]]:
    """Return in which eighths of a window which steps are: points in further ones are shared with other processes."""
    size = key.timespan_seconds * 1_000_000 // _SLOTS
    found = ((point >> _STEP_AT, _since(key, point)) for point in points)
    return frozenset((step, time // size) for step, time in found)


def _by_step(key: WindowKey, points: Iterable[int], steps: int) -> list[list[_Point]]:
    """Return the points of each step, the earliest first."""
    found: list[list[_Point]] = [[] for _ in range(steps)]
    for point in points:
        if (step := point >> _STEP_AT) < steps:
            found[step].append((_since(key, point), point & _EVENT_MASK, point))
    for some in found:
        some.sort()
    return found


def _since(key: WindowKey, point: int) -> int:
    begins = key.number * key.timespan_seconds * 500_000
    return ((point >> _EVENT_BITS) - begins) & _TIME_MASK


def _follows(point: _Point, other: _Point) -> bool:
    return point[0] > other[0] and point[1] != other[1]


def _first_two(points: list[_Point]) -> list[_Point]:
    """Return the first of some points, and the first of another event: whatever follows any follows one of them."""
    other = next((point for point in points if point[1] != points[0][1]), None)
    return points[:1] if other is None else [points[0], other]


def _spread(points: list[_Point]) -> list[_Point]:
    """Return at most `MAX_POINTS` of some points, without those that are nearest to their neighbours."""
    points = list(points)
    while len(points) > MAX_POINTS:
        gaps = [after[0] - before[0] for before, after in zip(points, points[2:])]
        del points[1 + gaps.index(min(gaps))]
    return points
