"""Parts of the input that are evaluated before what precedes them, in another process.

Two things connect one audit log with the next, and one part of a log with the next: requests that wait for their
responses, and what correlations have counted.

A detector that reads ahead begins without requests that wait, and notes for which event keys it looked. If none of the
requests that wait where the part begins has one of these keys, its verdicts are those of a detector that has read all
before it. If one has, or if the part ends within something, it must be read again.

It counts only what is in the part, and returns each step that is new there. A step that repeats another changes no
count, whatever was counted before. The others are counted again where the counts are known: those of a half timespan at
once, or, if they could raise an alert, in their order.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from vaultwatch.detection.absences import GroupSeen, Run
from vaultwatch.detection.correlation import Correlator, Span
from vaultwatch.detection.counting import MAX_VALUES, HalfPart, Noted, Sample, Step, Thing
from vaultwatch.detection.detector import WAIT_FOR_RESPONSE_SECONDS, Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.detection.firsts import CombinationSeen, First
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import MAX_WAITING, Waiting
from vaultwatch.detection.windows import Half
from vaultwatch.reading.records import NO_ORIGIN, Origin, Position
from vaultwatch.rules.correlations import Correlated, Correlations

_MAX_NUMBERS = 1 << 18
_MAP_BYTES = 1 << 23
_HASH = "q"
Again: TypeAlias = Callable[[], Sequence[Verdict]]
"""Counts a step, and returns the verdicts that this leads to."""


class Asked(msgspec.Struct, frozen=True):
    """The event keys that were looked up, as their hashes, which are the same in processes with one parent.

    Once there are many, they are bits of a map: of 2 million keys that were looked up, one in 30 others seems to be
    among them.
    """

    numbers: bytes
    bits: bytes

    def has_any(self, keys: Iterable[str]) -> bool:
        """Return whether one of some keys may have been looked up."""
        numbers = set(array(_HASH, self.numbers))
        places = [(number, *_place(number)) for number in map(hash, keys)]
        return any(number in numbers or (self.bits and self.bits[at] & bit) for number, at, bit in places)


def _place(number: int) -> tuple[int, int]:
    """Return where the bit of a hash is in a map, and its value."""
    return number % (8 * _MAP_BYTES) >> 3, 1 << (number & 7)


class StepVerdict(Verdict, frozen=True, kw_only=True):
    """The place of a step among the verdicts, so that both are in order."""

    number: int


class NotingCorrelator(Correlator):
    """Notes what is counted in a part of the input that is read ahead.

    Attributes:
        parts: What was counted, in the order of the first steps.
    """

    def __init__(self, correlations: Correlations, counts: Counts) -> None:
        """See `Correlator`."""
        super().__init__(correlations, counts)
        self.parts: list[HalfPart] = []
        self._known: dict[Half, tuple[set[Thing], list[Step]]] = {}
        self._steps = 0

    def step(
        self,
        one: Correlated,
        half: Half,
        thing: Thing,
        text: str,
        found: Noted,
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        """Return the place of a thing if it is new in this part, and its windows still count: see `Correlator.step`.

        Which points a window keeps depends on all of them: each is a step.
        """
        noted = self._known.get(half)
        if noted is None:
            known, steps = self._known[half] = set(), []
            self.parts.append(HalfPart(half, one.correlation.threshold, sample(), steps))
        else:
            known, steps = noted
            is_in_order = one.correlation.type == "temporal_ordered"
            if not is_in_order and (thing in known or len(known) >= one.correlation.threshold):
                return ()
        known.add(thing)
        (origin, log, line), number = found.place, self._steps
        place = origin.cluster, origin.node, origin.lane, log, line
        shown = text if len(known) <= MAX_VALUES else ""
        steps.append(Step(number, thing, shown, found.moment, found.time, found.event_key, place))
        self._steps += 1
        return (
            StepVerdict(
                rule=one.facts, event_key="", origin=NO_ORIGIN, outcome="unknown", time="", record={}, number=number
            ),
        )


class Ahead(msgspec.Struct, frozen=True):
    """What a detector that read ahead leaves behind, besides verdicts.

    Attributes:
        counts: The records and errors, by the names of `Counts`.
        by_rule: The errors, and how often each rule could not be decided, by its name.
        lines: The lines of the log that it read last.
        waiting: The verdicts on requests without responses.
        most_waiting: How many events waited at most.
        asked: The event keys that were looked up.
        parts: What was counted, in the order of the first steps.
        span: The time that the input covers, as far as it was noted.
        firsts: The combinations that were seen.
        runs: When expected events were seen.
        dropped: How many combinations and expected events were given up.
    """

    counts: dict[str, int]
    by_rule: tuple[dict[str, int], dict[str, int]]
    lines: int
    waiting: list[Verdict]
    most_waiting: int
    asked: Asked
    parts: list[HalfPart]
    span: Span
    firsts: list[CombinationSeen]
    runs: list[GroupSeen]
    dropped: int


class NotingWaiting(Waiting):
    """The verdicts that wait in a part of the input that is read ahead."""

    def __init__(self) -> None:
        """Begin with none, and without a note."""
        super().__init__(WAIT_FOR_RESPONSE_SECONDS)
        self._keys: list[str | None] = []
        self.note = self._keys.append
        self._numbers: set[int] = set()
        self._bits = bytearray()
        self._most = 0

    def of(self, key: str) -> list[Verdict]:
        """See `Waiting.of`."""
        self._keys.append(key)
        return super().of(key)

    def add(self, key: str, verdicts: Sequence[Verdict], now: float) -> list[Verdict]:
        """See `Waiting.add`."""
        self._keys.append(key)  # looked up, like those that are not added
        new = super().add(key, verdicts, now)
        self._most = max(self._most, len(self.events))
        return new

    def spill(self) -> None:
        """Keep no more of the keys that were looked up than their hashes."""
        self._numbers.update(map(hash, self._keys))
        self._keys.clear()
        if len(self._numbers) > _MAX_NUMBERS:
            self._bits = self._bits or bytearray(_MAP_BYTES)
            for at, bit in map(_place, self._numbers):
                self._bits[at] |= bit
            self._numbers.clear()

    def leave(self, detector: Detector) -> Ahead:
        """Return what the detector that these verdicts wait in leaves behind."""
        self.spill()
        counts, correlator = detector.counts, detector.correlator
        return Ahead(
            counts={name: getattr(counts, name) for name in _NUMBERS},
            by_rule=(dict(counts.rule_errors), dict(counts.undecided)),
            lines=detector.lines,
            waiting=self.verdicts(),
            most_waiting=self._most,
            asked=Asked(array(_HASH, self._numbers).tobytes(), bytes(self._bits)),
            parts=correlator.parts if isinstance(correlator, NotingCorrelator) else [],
            span=correlator.span,
            firsts=correlator.firsts.seen,
            runs=correlator.runs.seen,
            dropped=correlator.dropped,
        )


_NUMBERS = ("audit", "server", "rejected", "partial", "undated", "future", "unclear")


def follows(detector: Detector, ahead: Ahead) -> bool:
    """Return whether a detector would have read a part, that comes next, with the same results.

    Args:
        detector: One that has read everything before that part.
        ahead: What the detector that read ahead left behind.
    """
    waiting = detector.waits.events
    if waiting and len(waiting) + ahead.most_waiting > MAX_WAITING:
        return False
    firsts, runs = detector.correlator.firsts, detector.correlator.runs
    if ahead.dropped or not (firsts.has_room(ahead.firsts) and runs.has_room(ahead.runs)):
        return False
    if not _has_room(detector.correlator, ahead):
        return False
    return not (waiting and ahead.asked.has_any(waiting))


def take_over(detector: Detector, ahead: Ahead) -> None:
    """Continue a detector behind a part that another one has read ahead.

    Args:
        detector: One that has read everything before that part.
        ahead: What the other one left behind.
    """
    add_counts(detector.counts, ahead)
    lines = detector.lines
    detector.correlator.span.join(ahead.span)
    detector.correlator.firsts.join((combination, _first(first, lines)) for combination, first in ahead.firsts)
    runs = [(of, [Run(run.begins, _first(run.last, lines)) for run in some]) for of, some in ahead.runs]
    detector.correlator.runs.join(runs, detector.correlator.timespan_of)
    for verdict in ahead.waiting:
        detector.waits.add(verdict.event_key, [_moved(verdict, lines)], 0.0)
    detector.skip_lines(ahead.lines)


def count_most(detector: Detector, ahead: Ahead) -> list[tuple[int, Again]]:
    """Count what was counted in a part that another detector has read ahead, as far as it can raise no alert.

    Returns:
        The other steps, with their numbers, by which they have to be counted in order.
    """
    lines, correlator = detector.lines, detector.correlator
    parts: Sequence[HalfPart] = ahead.parts
    if _has_room(correlator, ahead):
        parts = correlator.counting.join(parts, lines)
    return [(step.number, partial(_count_again, correlator, one, step, lines)) for one in parts for step in one.steps]


def _has_room(correlator: Correlator, ahead: Ahead) -> bool:
    return correlator.counting.has_room(len(ahead.parts), sum([len(one.steps) for one in ahead.parts]))


def _count_again(correlator: Correlator, part: HalfPart, step: Step, lines: int) -> Sequence[Verdict]:
    one = correlator.correlations.by_name[part.key[0]]
    return correlator.step(one, part.key, step.thing, step.text, step.noted(lines), lambda: part.sample)


def add_counts(counts: Counts, ahead: Ahead) -> None:
    """Add the numbers of what was read ahead."""
    for name in _NUMBERS:
        setattr(counts, name, getattr(counts, name) + ahead.counts[name])
    counts.rule_errors.update(ahead.by_rule[0])
    counts.undecided.update(ahead.by_rule[1])


def _first(first: First, lines: int) -> First:
    found = msgspec.structs.replace(first.found, origin=_origin(first.found.origin, lines))
    return msgspec.structs.replace(first, found=found) if lines else first


def _moved(verdict: Verdict, lines: int) -> Verdict:
    return msgspec.structs.replace(verdict, origin=_origin(verdict.origin, lines))


def _origin(origin: Origin, lines: int) -> Origin:
    """Return the origin of a record that is so many lines further down in its log."""
    position = origin.position
    moved = Position(position.log, position.line + lines) if position and lines else position
    return msgspec.structs.replace(origin, position=moved)
