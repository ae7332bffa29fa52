"""Count the matches of base rules, and return the verdicts of the correlations that reach their thresholds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vaultwatch.detection.absences import Run, Runs
from vaultwatch.detection.counted import OF_STORES, Found, ReadFew, counted_of, reader_of
from vaultwatch.detection.counting import Counting, Noted, Occurrence, Sample, Thing, Window
from vaultwatch.detection.firsts import Combination, First, Firsts
from vaultwatch.detection.ordered import point_of
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.windows import Half, WindowKey, joined
from vaultwatch.reading.bounds import bounded, brief
from vaultwatch.reading.identity import seconds_of
from vaultwatch.reading.records import Origin, Place, Rejected, place_of, read_audit_entry
from vaultwatch.reading.view import View, as_logged, audit_view
from vaultwatch.rules.correlations import Correlated, Correlations, Counted
from vaultwatch.rules.facts import Service
from vaultwatch.rules.few_fields import Plan
from vaultwatch.rules.index import Rules
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.remembered import Remembered

if TYPE_CHECKING:
    from vaultwatch.detection.evaluator import Counts
    from vaultwatch.rules.screening import Few

_SAMPLED: dict[Service, tuple[str, ...]] = {
    "audit": (
        *("outcome", "time", "type", "error", "auth.display_name", "auth.entity_id", "auth.accessor", "auth.metadata"),
        *("request.id", "request.operation", "request.path", "request.namespace", "request.remote_address"),
        *("request.mount_point", "request.mount_type", "request.mount_running_version"),
    ),
    "server": ("time", "level", "module", "message", "fields", "raw"),
}
"""The fields of a record that the alert of a correlation shows."""
_MOST_AHEAD_SECONDS = 3600.0
_SAMPLE_BYTES = 4096


class Span(msgspec.Struct):
    """The time that some input covers, in seconds since the epoch: when it begins and ends, None if that is not known.

    It is a matter of the first and the last line of each log, and of what correlations without windows have read.
    """

    begins: float | None = None
    ends: float | None = None

    def note(self, moment: float) -> None:
        """Extend it to a moment."""
        self.begins = moment if self.begins is None else min(moment, self.begins)
        self.ends = moment if self.ends is None else max(moment, self.ends)

    def join(self, other: Span) -> None:
        """Extend it to what another one covers."""
        for moment in (other.begins, other.ends):
            if moment is not None:
                self.note(moment)


class Correlator:
    """Counts the matches of base rules.

    Attributes:
        correlations: What is counted.
        counting: Where it is counted.
        firsts: The combinations that were seen by correlations that learn.
        runs: When expected events were seen.
        span: The time that the input covers, as far as it was noted.
        concludes: Whether `conclude` judges, at the end of the input, what no store was asked about.
        received: When what is read was received, in seconds since the epoch: what has a time more than an hour after
            that is not counted, because forged times would take the room of real ones.
    """

    def __init__(self, correlations: Correlations, counts: Counts) -> None:
        """Make one that has counted nothing.

        Args:
            correlations: What is counted.
            counts: Gets the numbers of what could not be counted.
        """
        self.correlations = correlations
        self.counting = Counting()
        self.counting.chains = correlations.chains
        self.firsts = Firsts()
        self.runs = Runs()
        self.span = Span()
        self.concludes = True
        self.received = math.inf
        self._counts = counts
        self._reads: Remembered[tuple[Plan, Rules], list[ReadFew] | None] = Remembered(self._reads_of, len)

    def take(
        self, matching: list[Rule], view: View, key: str, time: Any, origin: Origin
    ) -> tuple[list[Rule], list[Verdict]]:
        """Count what matches a record.

        Args:
            matching: The rules that match it.
            view: Its view.
            key: Identifies its event.
            time: Its time, as logged.
            origin: Where it came from.

        Returns:
            The rules that raise alerts themselves, and the verdicts of correlations.
        """
        counted = [rule for rule in matching if rule.name in self.correlations.by_rule]
        if not counted:
            return matching, []
        alerting = [rule for rule in matching if rule.name not in self.correlations.silent]
        by_rule = self.correlations.by_rule
        found = [counted_of(one, rule.name, view, key) for rule in counted for one in by_rule[rule.name]]
        sample = partial(_part, view, counted[0].service)
        return alerting, list(self._count(found, key, time, place_of(origin), sample))

    def count(self, few: Few, place: Place, zone: tzinfo | None, text: bytes) -> Sequence[Verdict] | None:
        """Count what matches an audit entry, and return the verdicts of correlations; None if it is not just counted.

        Args:
            few: Its fields, at least those that counting reads, and what matches it.
            place: Where it came from.
            zone: The time zone of `local`.
            text: The entry.
        """
        plan, values, matching = few
        key, time = plan.id_and_time(values)
        reads = self._reads[plan, matching] if key else None
        if reads is None:
            return None
        found = [read(values, place[0], zone, key) for read in reads]
        return self._count(found, key, time, place, lambda: _sample(text))

    def _reads_of(self, of: tuple[Plan, Rules]) -> list[ReadFew] | None:
        """Return how to read what is counted of entries that these rules match; None if one raises alerts itself."""
        plan, matching = of
        if any(rule.name not in self.correlations.silent for rule in matching):
            return None
        by_rule = self.correlations.by_rule
        return [reader_of(plan, rule.name, one) for rule in matching for one in by_rule[rule.name]]

    def _count(
        self,
        counted: Sequence[Found | None],
        key: str,
        time: Any,
        place: Place,
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        seconds = seconds_of(time)
        if seconds is None:
            self._counts.undated += 1
            return ()
        if self.is_to_come(seconds):
            self._counts.future += 1
            return ()
        verdicts: list[Verdict] = []
        twice, noted = seconds * 2, Noted(seconds, time, key, place)
        for found in counted:
            if found is None:
                continue
            one, group, thing, text = found
            correlation = one.correlation
            if correlation.type in OF_STORES:
                self._see(found, seconds, lambda text: First(noted.occurrence, sample(), text))
                continue
            if correlation.type == "temporal_ordered":
                thing = point_of(one.step, seconds, key)
            timespan = correlation.timespan_seconds
            half = one.facts.name, group, int(twice // timespan), timespan
            verdicts += self.step(one, half, thing, text, noted, sample)
        return verdicts

    def _see(self, found: Found, seconds: float, first: Callable[[str], First]) -> None:
        self.span.note(seconds)
        one, group, _, text = found
        of = Combination(one.facts.name, group)
        if one.correlation.type == "absence":
            self.runs.note(of, seconds, one.correlation.timespan_seconds, lambda: first(text))
        else:
            self.firsts.note(of, seconds, lambda: first(text))

    def is_to_come(self, moment: float) -> bool:
        """Return whether a moment is so late that a record cannot have been written then."""
        return moment > self.received + _MOST_AHEAD_SECONDS

    @property
    def dropped(self) -> int:
        """How many counts, combinations and expected events were given up."""
        return self.counting.dropped + self.firsts.dropped + self.runs.dropped

    def timespan_of(self, rule: str) -> int:
        """Return the timespan of a correlation."""
        return self.correlations.by_name[rule].correlation.timespan_seconds

    def conclude(self) -> list[Verdict]:
        """Return the verdicts that depend on all that was read, at the end of the input.

        What is new is judged as if the rules had become live when the input begins, and what is due until it ends.
        """
        if not self.concludes or self.span.begins is None or self.span.ends is None:
            return []
        by_name, begins, ends = self.correlations.by_name, self.span.begins, self.span.ends
        absent = [
            absence_verdict(by_name[of.rule], of, run)
            for of, runs in self.runs.drain()
            for run in runs
            if run.ends + self.timespan_of(of.rule) <= ends
        ]
        return absent + [
            first_verdict(by_name[combination.rule], combination, first)
            for combination, first in self.firsts.drain()
            if first.found.moment >= begins + self.timespan_of(combination.rule)
        ]

    def step(
        self,
        one: Correlated,
        half: Half,
        thing: Thing,
        text: str,
        found: Noted,
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        """Count a thing in a half timespan, and return the verdicts that this leads to.

        Args:
            one: The correlation.
            half: The half timespan.
            thing: What is counted.
            text: The same for people.
            found: The record.
            sample: Returns what to keep of the record, to show it.
        """
        reached = self.counting.count(half, one.correlation.threshold, thing, text, found, sample)
        return [verdict_of(one, key, window) for key, window in reached] if reached else ()


def _sample(text: bytes) -> Sample:
    """Return what to keep of an audit entry for an alert: the entry as it is if it is small, otherwise a part of it."""
    return text if len(text) <= _SAMPLE_BYTES else _part(_view_of(text), "audit")


def _view_of(text: bytes) -> View:
    """Return the view of an audit entry; an empty one if only parts of it can be decoded."""
    entry = read_audit_entry(text)
    return {} if isinstance(entry, Rejected) else as_logged(audit_view(entry, with_secrets=False), entry)


def without_entry(first: First, service: Service) -> First:
    """Return a record for a store, with what its alert shows: an audit entry may hold secrets in clear."""
    return msgspec.structs.replace(first, sample=_shown_of(first.sample, service))


def _shown_of(kept: Sample, service: Service) -> dict[str, Any]:
    return _part(_view_of(kept), service) if isinstance(kept, bytes) else dict(kept)  # windows may share one


def _part(view: View, service: Service) -> dict[str, Any]:
    sample: dict[str, Any] = {}
    for field in _SAMPLED[service]:
        above, _, below = field.rpartition(".")
        parent = view.get(above) if above else view
        if isinstance(parent, dict) and parent.get(below) not in (None, ""):
            (sample.setdefault(above, {}) if above else sample)[below] = parent[below]
    return bounded(sample, _SAMPLE_BYTES)


def verdict_of(one: Correlated, key: WindowKey, window: Window) -> Verdict:
    """Return the verdict of a correlation on a window that has reached its threshold."""
    begins = datetime.fromtimestamp(key.starts, UTC).isoformat().replace("+00:00", "Z")
    values = one.correlation.rules if one.correlation.type == "temporal_ordered" else window.values
    seen = _Shown(window.first, window.last, window.sample, tuple(values), tuple(filter(None, window.clusters)))
    return _verdict(one, key.group, (*key.group, begins), begins, seen)


def first_verdict(one: Correlated, combination: Combination, first: First) -> Verdict:
    """Return the verdict of a correlation on a combination that it has not seen before."""
    seen = _Shown(first.found, first.found, first.sample, (first.text,))
    return _verdict(one, combination.group, combination.group, "", seen)


def absence_verdict(one: Correlated, of: Combination, run: Run) -> Verdict:
    """Return the verdict of a correlation that no event came when it was due, behind a run; to the second."""
    last = run.last
    due = datetime.fromtimestamp(int(run.ends) + one.correlation.timespan_seconds, UTC)
    text = due.isoformat().replace("+00:00", "Z")
    seen = _Shown(last.found, last.found, last.sample, (last.text,))
    verdict = _verdict(one, of.group, (*of.group, text), text, seen)
    return msgspec.structs.replace(verdict, time=text, outcome="unknown")


class _Shown(NamedTuple):
    """What the alert of a correlation shows: its first and last records, what is kept of one, and what was counted."""

    first: Occurrence
    last: Occurrence
    sample: Sample
    values: tuple[str, ...]
    clusters: tuple[str, ...] = ()


def _verdict(one: Correlated, of: tuple[str, ...], key: tuple[str, ...], window: str, seen: _Shown) -> Verdict:
    """Return a verdict about a group, which is known by its key."""
    sample = _shown_of(seen.sample, one.facts.service)
    group = tuple(map(brief, of))
    return Verdict(
        rule=one.facts,
        event_key=hashlib.sha256(joined(key).encode("utf-8", "surrogatepass")).hexdigest(),
        origin=seen.last.origin,
        outcome=sample.pop("outcome", "unknown"),
        group_values=group,
        time=brief(seen.last.time),
        record=sample,
        counted=Counted(
            type=one.correlation.type,
            least=one.correlation.threshold,
            of=", ".join(one.correlation.fields),
            timespan_seconds=one.correlation.timespan_seconds,
            window=window,
            by=dict(zip(one.correlation.group_by, group, strict=True)),
            values=tuple(brief(value) for value in seen.values if value),
            first=(brief(seen.first.time), brief(seen.first.event_key)),
            last=(brief(seen.last.time), brief(seen.last.event_key)),
            clusters=tuple(map(brief, seen.clusters)) if len(seen.clusters) > 1 else (),
        ),
    )
