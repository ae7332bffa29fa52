"""Count the matches of base rules, and return the verdicts of the correlations that reach their thresholds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from vaultwatch.detection.absences import Run, Runs
from vaultwatch.detection.counting import Counting, Occurrence, Sample, Thing, Window, thing_of
from vaultwatch.detection.firsts import Combination, First, Firsts
from vaultwatch.detection.ordered import point_of
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.windows import Half, WindowKey, hash_of, joined
from vaultwatch.reading.bounds import bounded, brief
from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.records import Origin, Rejected, read_audit_entry
from vaultwatch.reading.view import View, as_logged, audit_view
from vaultwatch.redaction import SALTED, is_salted
from vaultwatch.rules.correlations import Correlated, Correlations, Counted
from vaultwatch.rules.facts import Service
from vaultwatch.rules.few_fields import Plan, Values
from vaultwatch.rules.index import Rules
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.predicates import listed, text_of, values
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
_OF_EVENTS, _OF_RULES = ("event_count", "first_seen", "absence"), ("temporal", "temporal_ordered")
_OF_STORES = ("first_seen", "absence")
"""Those that have no windows: a store remembers what was seen."""
_LONGEST_TEXT = 512
_MOST_AHEAD_SECONDS = 3600.0
_SAMPLE_BYTES = 4096
_Found: TypeAlias = tuple[Correlated, tuple[str, ...], Thing, str]
"""What a correlation counts of a record: the correlation, the group, the thing, and its text for people."""
_Known: TypeAlias = Remembered[tuple[str | None, ...], tuple[str, ...]]
"""Some texts of records as they are counted: one table for all that is counted, so that the memory is bounded."""
_TextsOf: TypeAlias = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Returns the texts of some fields of a record, as they are counted."""
_OfValues: TypeAlias = Callable[[Values, Callable[[], Origin], tzinfo | None], tuple[str, ...]]
"""Returns them from the few fields of an entry that are decoded, where it came from, and the zone of `local`."""


class _Read(NamedTuple):
    """How to read what a correlation counts from the few fields of an entry."""

    one: Correlated
    group: _OfValues
    shown: _OfValues


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
        self._reads: Remembered[tuple[Plan, Rules], list[_Read] | None] = Remembered(self._reads_of, len)
        self._counted_texts: _Known = Remembered(_all_counted, _length)

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
        texts, by_rule = partial(_texts, view), self.correlations.by_rule
        found = [
            _found(one, texts(one.group_by), _shown(one, rule.name, texts), key)
            for rule in counted
            for one in by_rule[rule.name]
        ]
        sample = partial(_part, view, counted[0].service)
        return alerting, list(self._count(found, key, time, lambda: origin, sample))

    def count(
        self, few: Few, origin: Callable[[], Origin], zone: tzinfo | None, text: bytes
    ) -> Sequence[Verdict] | None:
        """Count what matches an audit entry, and return the verdicts of correlations; None if it is not just counted.

        Args:
            few: Its fields, at least those that counting reads, and what matches it.
            origin: Returns where it came from.
            zone: The time zone of `local`.
            text: The entry.
        """
        plan, values, matching = few
        key, time = plan.id_and_time(values)
        reads = self._reads[plan, matching] if key else None
        if reads is None:
            return None
        found = [
            _found(one, group_of(values, origin, zone), shown_of(values, origin, zone), key)
            for one, group_of, shown_of in reads
        ]
        return self._count(found, key, time, origin, lambda: _sample(text))

    def _reads_of(self, of: tuple[Plan, Rules]) -> list[_Read] | None:
        """Return how to read what is counted of entries that these rules match; None if one raises alerts itself."""
        plan, matching = of
        if any(rule.name not in self.correlations.silent for rule in matching):
            return None
        by_rule, known = self.correlations.by_rule, self._counted_texts
        return [_read(plan, rule.name, one, known) for rule in matching for one in by_rule[rule.name]]

    def _count(
        self,
        counted: Sequence[_Found | None],
        key: str,
        time: Any,
        origin: Callable[[], Origin],
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        moment = parse_time(time)
        if moment is None:
            self._counts.undated += 1
            return ()
        seconds = moment.timestamp()
        if self.is_to_come(seconds):
            self._counts.future += 1
            return ()
        verdicts: list[Verdict] = []
        twice = seconds * 2

        def occurrence() -> Occurrence:
            return Occurrence(seconds, time, key, origin())

        for found in counted:
            if found is None:
                continue
            one, group, thing, text = found
            correlation = one.correlation
            if correlation.type in _OF_STORES:
                self._see(found, seconds, lambda text: First(occurrence(), sample(), text))
                continue
            if correlation.type == "temporal_ordered":
                thing = point_of(one.step, seconds, key)
            timespan = correlation.timespan_seconds
            half = one.facts.name, group, int(twice // timespan), timespan
            verdicts += self.step(one, half, thing, text, occurrence, sample)
        return verdicts

    def _see(self, found: _Found, seconds: float, first: Callable[[str], First]) -> None:
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
        occurrence: Callable[[], Occurrence],
        sample: Callable[[], Sample],
    ) -> Sequence[Verdict]:
        """Count a thing in a half timespan, and return the verdicts that this leads to.

        Args:
            one: The correlation.
            half: The half timespan.
            thing: What is counted.
            text: The same for people.
            occurrence: Returns the record.
            sample: Returns what to keep of the record, to show it.
        """
        reached = self.counting.count(half, one.correlation.threshold, thing, text, occurrence, sample)
        return [verdict_of(one, key, window) for key, window in reached] if reached else ()


def _found(one: Correlated, group: tuple[str, ...], shown: tuple[str, ...], event: str) -> _Found | None:
    """Return what a correlation counts of a record; None if the record has no value to count, or no group.

    Args:
        one: The correlation.
        group: The values that it groups by.
        shown: The values that it counts, or shows of an event.
        event: The key of its event.
    """
    kind = one.correlation.type
    if one.identity_at:
        group = _of_identity(group, *one.identity_at)
    if one.counts_paths:
        path, namespace = shown
        shown = (path and namespace + path,)
    if group and not any(group) and kind != "absence":
        return None
    if kind not in _OF_EVENTS and not all(shown):
        return None
    if len(shown) == 1:
        (text,) = shown
        return one, group, thing_of(event if kind in _OF_EVENTS else text), text
    return one, group, thing_of(event if kind in _OF_EVENTS else joined(shown)), listed(shown)


def _of_identity(group: tuple[str, ...], identity: int, name: int) -> tuple[str, ...]:
    """Return a group without a name that does not identify the caller: whoever has a token gives names to others."""
    return (*group[:name], "", *group[name + 1 :]) if group[identity] else group


def _shown(one: Correlated, rule: str, texts: _TextsOf) -> tuple[str, ...]:
    """Return the values that a correlation counts, or shows of an event, of a record that a base rule matches."""
    if one.correlation.type in _OF_RULES:
        return (rule,)
    return texts(one.shown if one.correlation.type in _OF_EVENTS else one.fields)


def _texts(view: View, fields: Iterable[str]) -> tuple[str, ...]:
    """Return the values of fields; "" for those that are absent, or salted hashes, which differ between devices."""
    found = ((text_of(value) for value in values(view, field)) for field in fields)
    return tuple(
        [_shortened(listed(_in_one_case(text) for text in texts if text and not is_salted(text))) for texts in found]
    )


def _read(plan: Plan, rule: str, one: Correlated, known: _Known) -> _Read:
    group = _texts_of_few(plan, one.group_by, known)
    if one.correlation.type in _OF_RULES:
        return _Read(one, group, lambda _values, _origin, _zone: (rule,))
    shown = one.shown if one.correlation.type in _OF_EVENTS else one.fields
    return _Read(one, group, _texts_of_few(plan, shown, known))


def _texts_of_few(plan: Plan, fields: tuple[str, ...], known: _Known) -> _OfValues:
    """Return what returns the texts of some fields of an entry, as they are counted, from the few that are decoded."""
    pick = plan.texts[fields]
    if pick is None:
        return lambda values, origin, zone: _texts(plan.view(values, origin(), zone), fields)
    if len(fields) == 1:
        return lambda values, _origin, _zone: (_counted(*pick(values)),)
    if "request.path" in fields:  # paths are many: to remember them takes longer
        return lambda values, _origin, _zone: _all_counted(pick(values))
    return lambda values, _origin, _zone: known[pick(values)]


def _all_counted(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(map(_counted, texts))


def _length(texts: Iterable[str | None]) -> int:
    return sum(map(len, filter(None, texts)))


def _counted(text: str | None) -> str:
    """Return a text as it is counted."""
    if not text or (text.startswith(SALTED) and is_salted(text)):  # a call for few of them
        return ""
    if len(text) <= _LONGEST_TEXT and ", " not in text and text[0] not in '"a':  # which is as it is
        return text
    return _shortened(listed((_in_one_case(text),)))


def _in_one_case(text: str) -> str:
    """Return the path of a login with its name in one case: servers take Alice and alice for the same user."""
    before, login, name = text.partition("/login/")
    return before + login + name.casefold() if text.startswith("auth/") else text


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… {hash_of(text):016x}"


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
