"""Parts of the input that are evaluated before what precedes them, in another process.

Two things connect one audit log with the next, and one part of a log with the next: requests that wait for their
responses, and what correlations have counted.

A detector that reads ahead begins without requests that wait, and notes for which event keys it looked. If none of the
requests that wait where the part begins has one of these keys, its verdicts are those of a detector that has read all
before it. If one has, or if the part ends within something, it must be read again.

It counts only what is in the part, and returns each step that is new there. A step that repeats another changes no
count, whatever was counted before; the others are done again, in their order, where the counts are known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import msgspec

from vaultwatch.detection.absences import GroupSeen, Run
from vaultwatch.detection.correlation import Correlator, Span
from vaultwatch.detection.counting import MAX_VALUES, Occurrence, Sample, Thing
from vaultwatch.detection.detector import WAIT_FOR_RESPONSE_SECONDS, Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.detection.firsts import CombinationSeen, First
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import MAX_WAITING, Waiting
from vaultwatch.detection.windows import Half
from vaultwatch.reading.records import Origin, Position
from vaultwatch.rules.correlations import Correlated, Correlations

_MAX_NUMBERS = 1 << 18
_MAP_BYTES = 1 << 23
_Deadline: TypeAlias = tuple[float, list[Verdict]]


class Asked(msgspec.Struct):
    """The event keys that were looked up, as their hashes, which are the same in processes with one parent.

    Once there are many, they are bits of a map: of 2 million keys that were looked up, one in 30 others seems to be
    among them.
    """

    numbers: set[int] = msgspec.field(default_factory=set)
    bits: bytearray = msgspec.field(default_factory=bytearray)

    def __contains__(self, key: str) -> bool:
        """Return whether a key may have been looked up."""
        number = hash(key)
        place = number % (8 * _MAP_BYTES)
        return number in self.numbers or bool(self.bits and self.bits[place >> 3] >> (place & 7) & 1)

    def spill(self) -> None:
        """Move the hashes to the map."""
        self.bits = self.bits or bytearray(_MAP_BYTES)
        for number in self.numbers:
            place = number % (8 * _MAP_BYTES)
            self.bits[place >> 3] |= 1 << (place & 7)
        self.numbers.clear()


class Step(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a record adds to the counts of two windows: see `Correlator.step`; `sample` is empty unless it is first.

    `origin` is that of its occurrence, as it is encoded in the fewest steps: the last two are its position, "" and 0 if
    it has none.
    """

    half: Half
    thing: Thing
    text: str
    moment: float
    time: str
    event_key: str
    origin: tuple[str, str, str, str, int]
    sample: Sample


class StepVerdict(Verdict, frozen=True, kw_only=True):
    """A step in the place of the verdict that it may lead to, so that both are in order."""

    step: Step


class NotingCorrelator(Correlator):
    """Notes what is counted in a part of the input that is read ahead."""

    def __init__(self, correlations: Correlations, counts: Counts) -> None:
        """See `Correlator`."""
        super().__init__(correlations, counts)
        self._known: dict[Half, set[Thing]] = {}

    def step(
        self,
        one: Correlated,
        half: Half,
        thing: Thing,
        text: str,
        occurrence: Callable[[], Occurrence],
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        """Return a thing as a step if it is new in this part, and its windows still count: see `Correlator.step`.

        Which points a window keeps depends on all of them: each is a step.
        """
        known = self._known.get(half)
        if known is None:
            known, shown = self._known.setdefault(half, set()), sample()
        elif one.correlation.type == "temporal_ordered":
            shown = {}
        elif thing in known or len(known) >= one.correlation.threshold:
            return ()
        else:
            shown = {}
        known.add(thing)
        found = occurrence()
        key, time, origin = found.event_key, found.time, found.origin
        log, line = (origin.position.log, origin.position.line) if origin.position else ("", 0)
        place = origin.cluster, origin.node, origin.lane, log, line
        step = Step(half, thing, text if len(known) <= MAX_VALUES else "", found.moment, time, key, place, shown)
        verdict = StepVerdict(
            rule=one.facts, event_key=key, origin=origin, outcome="unknown", time=time, record={}, step=step
        )
        return (verdict,)


class Ahead(msgspec.Struct, frozen=True):
    """What a detector that read ahead leaves behind, besides verdicts.

    Attributes:
        counts: The records and errors, by the names of `Counts`.
        by_rule: The errors, and how often each rule could not be decided, by its name.
        lines: The lines of the log that it read last.
        waiting: The verdicts on requests without responses.
        most_waiting: How many events waited at most.
        asked: The event keys that were looked up.
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
    span: Span
    firsts: list[CombinationSeen]
    runs: list[GroupSeen]
    dropped: int


class _Noting(OrderedDict[str, _Deadline]):
    """A dictionary that notes which keys are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Asked()

    def __bool__(self) -> bool:
        return True  # so that it is asked, even if it is empty

    def __contains__(self, key: object) -> bool:
        numbers = self.asked.numbers
        numbers.add(hash(key))
        if len(numbers) > _MAX_NUMBERS:
            self.asked.spill()
        return super().__contains__(key)


class NotingWaiting(Waiting):
    """The verdicts that wait in a part of the input that is read ahead."""

    def __init__(self) -> None:
        """Begin with none, and without a note."""
        super().__init__(WAIT_FOR_RESPONSE_SECONDS)
        self.events = self._noting = _Noting()
        self._most = 0

    def add(self, key: str, verdicts: Sequence[Verdict], now: float) -> list[Verdict]:
        """See `Waiting.add`."""
        self.of(key)  # looked up, like those that are not added
        new = super().add(key, verdicts, now)
        self._most = max(self._most, len(self.events))
        return new

    def leave(self, detector: Detector) -> Ahead:
        """Return what the detector that these verdicts wait in leaves behind."""
        counts = detector.counts
        return Ahead(
            counts={name: getattr(counts, name) for name in _NUMBERS},
            by_rule=(dict(counts.rule_errors), dict(counts.undecided)),
            lines=detector.lines,
            waiting=self.verdicts(),
            most_waiting=self._most,
            asked=self._noting.asked,
            span=detector.correlator.span,
            firsts=detector.correlator.firsts.seen,
            runs=detector.correlator.runs.seen,
            dropped=detector.correlator.dropped,
        )


_NUMBERS = ("audit", "server", "rejected", "partial", "undated", "future", "unclear")


def follows(detector: Detector, ahead: Ahead, steps: Collection[Step] = ()) -> bool:
    """Return whether a detector would have read a part, that comes next, with the same results.

    Args:
        detector: One that has read everything before that part.
        ahead: What the detector that read ahead left behind.
        steps: What it counted.
    """
    waiting = detector.waits.events
    if waiting and len(waiting) + ahead.most_waiting > MAX_WAITING:
        return False
    counting = detector.correlator.counting
    firsts, runs = detector.correlator.firsts, detector.correlator.runs
    if ahead.dropped or not (firsts.has_room(ahead.firsts) and runs.has_room(ahead.runs)):
        return False
    if not (
        counting.has_room(len(steps), len(steps)) or counting.has_room(len({step.half for step in steps}), len(steps))
    ):
        return False
    return not any(key in ahead.asked for key in waiting)


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


def count_again(detector: Detector, step: Step) -> Sequence[Verdict]:
    """Count what was counted in a part that another detector has read ahead, and return what that leads to."""
    correlator = detector.correlator

    def occurrence() -> Occurrence:
        cluster, node, lane, log, line = step.origin
        position = Position(log, detector.lines + line) if log else None
        return Occurrence(step.moment, step.time, step.event_key, Origin(cluster, node, lane, position))

    one = correlator.correlations.by_name[step.half[0]]
    return correlator.step(one, step.half, step.thing, step.text, occurrence, lambda: step.sample)


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
