"""Evaluate logs part by part: in order, or ahead of what precedes them in another process."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from operator import itemgetter
from typing import NamedTuple, Protocol

import msgspec

from vaultwatch.detection.ahead import (
    Again,
    Ahead,
    NotingCorrelator,
    NotingWaiting,
    StepVerdict,
    count_most,
    follows,
    take_over,
)
from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Counts, Ruleset
from vaultwatch.detection.line_reader import Source
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import Waiting
from vaultwatch.findings.found import Findings, Found, copy_of, find, key_of
from vaultwatch.findings.selection import Selection
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import Log
from vaultwatch.inputs.own import set_apart
from vaultwatch.inputs.parts import Part, logs_of
from vaultwatch.inputs.rejects import Rejects, is_foreign
from vaultwatch.inputs.torn import Torn
from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Origin, Rejected
from vaultwatch.rules.correlations import Correlations

_MAX_RESULT_BYTES = 32 * 1024 * 1024
_STEP_BYTES = 300
"""What the step of a correlation takes in a result, about."""
OnChunk = Callable[[Log, int, int], None]
"""Called after each chunk with its log, the position of its end, and its size."""


class Settings(NamedTuple):
    """How logs are read: against which rules, as which log, in which time zone, and which alerts are selected."""

    rules: Ruleset
    source: Source
    zone: tzinfo | None
    selection: Selection


class LogRead(msgspec.Struct, frozen=True):
    """A log that has been read.

    Attributes:
        name: Its name.
        records: How many records it has.
        rejected: How many rejected lines it has.
        over_budget: How many lines over the budget it has.
        first: The beginning of the first of these.
        torn: How they were torn.
        own: What of its own output Vaultwatch has written to it: then it was left out.
        unclear: How many of its messages are lines that no server is known to write.
        first_unclear: The beginning of the first of these.
        is_undated: Whether it has messages of the server log only, and none with a time.
        sample: Its lines around the first that was rejected, or that no server is known to write.
    """

    name: str
    records: int = 0
    rejected: int = 0
    over_budget: int = 0
    first: Rejected | None = None
    torn: Torn = msgspec.field(default_factory=Torn)
    own: str = ""
    unclear: int = 0
    first_unclear: bytes = b""
    is_undated: bool = False
    sample: bytes = b""


class TakesVerdicts(Protocol):
    """Gets verdicts in their order."""

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take verdicts."""


class Observer(Protocol):
    """Watches what is read."""

    def begin_log(self, name: str, counts: Counts) -> None:
        """A log begins; these records were read before."""

    def end_log(self, counts: Counts) -> None:
        """The log ends; these records were read with it."""

    def entries(self, lines: Sequence[bytes], origin: Origin | None) -> None:
        """Audit entries were read: see `Detector`."""

    def message(self, time: str) -> None:
        """A message of the server log was read: see `Detector`."""


class Reader:
    """Evaluates logs one after the other.

    Attributes:
        detector: What evaluates them.
        rejects: The lines that were rejected.
        errors: The last error of each rule that raised one.
        names: The logs that were opened.
    """

    def __init__(
        self,
        settings: Settings,
        rejects: Rejects,
        waiting: Waiting | None = None,
        correlator: Callable[[Correlations, Counts], Correlator] = Correlator,
        observer: Observer | None = None,
    ) -> None:
        """Make a reader that has read nothing.

        Args:
            settings: How logs are read.
            rejects: Counts the lines that are rejected.
            waiting: Keeps the verdicts that wait for responses.
            correlator: Makes what counts for correlations.
            observer: Watches what is read.
        """
        self.rejects = rejects
        self._observer = observer
        self.errors: dict[str, str] = {}
        self.names: list[str] = []
        self._before = (0, 0, 0)
        self._audit_before, self._unclear_before, self._has_time = 0, 0, False
        self.detector = Detector(
            settings.rules,
            source=settings.source,
            zone=settings.zone,
            on_rejected=rejects.add,
            on_rule_error=self._note_rule_error,
            unwrap=True,
            waiting=waiting,
            correlator=correlator,
            on_entries=observer.entries if observer else None,
            on_message=self._note_message,
            on_unclear=rejects.note_unclear,
        )
        self.detector.correlator.received = time.time()

    def read(self, part: Part, findings: TakesVerdicts, on_chunk: OnChunk) -> Iterator[LogRead]:
        """Evaluate a part, and yield the logs that end in it.

        Alerts and rejected lines that Vaultwatch itself has written are left out, unless the user named their file.

        Args:
            part: The part behind the one that was read last.
            findings: Gets the verdicts.
            on_chunk: See `OnChunk`.

        Raises:
            Unreadable: It cannot be read to its end.
        """
        self.detector.is_foreign = self._is_foreign if part.is_first and not part.is_named else None
        for found in logs_of(part):
            own, log = ("", found) if part.is_named else set_apart(found)
            if own:
                yield LogRead(shown(log.name), own=own)
                continue
            if part.is_first or not self.names:
                self._begin(log.name, log.head)
            if log.form:
                self.detector.reject(Rejected(log.head[:SMALL_BYTES], log.form))
                yield self._end()
                continue
            ends = True
            splitter, log_ends, lines = LineSplitter(), _LogEnds(self.detector, begins=part.is_first), list[bytes]()
            try:
                for chunk, position in log.chunks():
                    lines = log_ends.watched(splitter.push(chunk))
                    findings.add(self.detector.feed(lines))
                    self.rejects.watch(lines)
                    on_chunk(log, position, len(chunk))
                ends = part.is_last
            finally:
                rest = log_ends.watched(splitter.flush())
                findings.add(self.detector.feed(rest))
                log_ends.note(ends=ends)
                findings.add(self.detector.end_log() if ends else ())
                self.rejects.watch(rest if rest or self.rejects.sample else lines)  # messages waited for further lines
                if self._observer and ends:
                    self._observer.end_log(self.detector.counts)
            if ends:
                yield self._end()

    def would_read_alike(self, part: Part, result: Result) -> bool:
        """Return whether this reader would find in a part what another one has found ahead."""
        return (part.is_first or self.detector.carries_nothing) and follows(self.detector, result.ahead)

    def take_over(self, part: Part, result: Result, findings: Findings) -> Iterator[LogRead]:
        """Continue behind a part that another reader has read ahead, and yield the logs that end in it.

        Args:
            part: The part behind the one that was read last.
            result: What was found in it.
            findings: Gets the alerts.

        Raises:
            Unreadable: It could not be read to its end.
        """
        if part.is_first:
            self._begin(part.name, b"", result.names)
        lines = self.detector.lines
        in_order: list[tuple[int, Again | Found]] = [*count_most(self.detector, result.ahead), *result.found]
        for _, found in sorted(in_order, key=itemgetter(0)):
            if isinstance(found, Found):
                findings.take(msgspec.structs.replace(found, line=found.line + lines) if lines else found)
            else:
                findings.add(found())
        take_over(self.detector, result.ahead)
        self.rejects.add_all(result.reasons, result.first, result.torn, result.sample, result.kept)
        self.rejects.note_unclear(result.unclear)
        self.errors |= result.errors
        if part.is_whole:
            yield from result.logs
        elif part.is_last and not result.failure:
            yield self._end()
        if result.failure:
            raise Unreadable(result.failure)

    def _begin(self, log: str, head: bytes, names: list[str] | None = None) -> None:
        name = shown(log)
        self.names += [name] if names is None else names
        self._before = self._lines()
        self._audit_before, self._has_time = self.detector.counts.audit, False
        self._unclear_before = self.detector.counts.unclear
        self.rejects.begin_log()
        if self._observer:
            self._observer.begin_log(name, self.detector.counts)
        self.detector.begin_log(head, name=name)

    def _end(self) -> LogRead:
        records, rejected, over = (after - before for after, before in zip(self._lines(), self._before, strict=True))
        read = LogRead(self.names[-1], records, rejected, over, _beginning(self.rejects.first), self.rejects.torn)
        has_entries = self.detector.counts.audit > self._audit_before
        read = msgspec.structs.replace(read, is_undated=records > 0 and not (has_entries or self._has_time))
        if unclear := self.detector.counts.unclear - self._unclear_before:
            read = msgspec.structs.replace(read, unclear=unclear, first_unclear=self.rejects.unclear)
        return msgspec.structs.replace(read, sample=self.rejects.sample)

    def _is_foreign(self, line: bytes) -> bool:
        """Return whether a line is of a file that is no text, of which no record was read."""
        return self._lines()[0] == self._before[0] and is_foreign(line)

    def _lines(self) -> tuple[int, int, int]:
        """Return how many records were read, how many lines were rejected, and how many were over the budget."""
        counts = self.detector.counts
        return counts.audit + counts.server, counts.rejected, counts.partial

    def _note_message(self, time: str) -> None:
        self._has_time = self._has_time or time != ""
        if self._observer:
            self._observer.message(time)

    def _note_rule_error(self, name: str, error: Exception) -> None:
        self.errors[name] = f"{type(error).__name__}: {error}"


class _LogEnds:
    """Notes the first and the last line of a log: they are the same however the log is divided into chunks and parts.

    Args:
        detector: What evaluates the log.
        begins: Whether the log begins with the first line.
    """

    def __init__(self, detector: Detector, *, begins: bool) -> None:
        self._detector = detector
        self._begins = begins
        self._last = b""

    def watched(self, lines: list[bytes]) -> list[bytes]:
        """Return some lines of the log, which come next."""
        if last := next((line for line in reversed(lines) if not line.isspace()), b""):
            if self._begins:
                self._detector.note_end(next(line for line in lines if not line.isspace()))
            self._begins, self._last = False, last
        return lines

    def note(self, *, ends: bool) -> None:
        """Note the last line, if the log ends with it."""
        if ends and self._last:
            self._detector.note_end(self._last)


class Result(msgspec.Struct, frozen=True):
    """What was found in a part that was read ahead.

    Attributes:
        ahead: What the detector has left behind.
        found: The alerts in their order, with the number of the last step of a correlation that was before it.
        names: The logs that were opened.
        logs: Those that were read to their ends.
        errors: The last error of each rule that raised one.
        reasons: How often lines were rejected for which reason.
        first: The beginning of the first of them in the log that was read last.
        torn: How those of that log were torn.
        sample: Its lines around the first of them.
        kept: The rejected lines, if they are kept.
        unclear: The beginning of the first line, in the log that was read last, that no server is known to write.
        failure: Why the part could not be read to its end.
    """

    ahead: Ahead
    found: list[tuple[int, Found]]
    names: list[str]
    logs: list[LogRead]
    errors: dict[str, str]
    reasons: dict[str, int]
    first: Rejected | None
    torn: Torn
    sample: bytes
    kept: bytes
    unclear: bytes
    failure: str


_encode = msgspec.msgpack.Encoder().encode


def read_ahead(settings: Settings, part: Part, advance: Callable[[int], None], *, keep: bool) -> bytes:
    """Evaluate a part ahead of what precedes it, and return the encoded `Result`; b"" if it must be read in order.

    Args:
        settings: How logs are read.
        part: The part.
        advance: Called with the size of each piece that was read, of at most the part's size in all.
        keep: Whether rejected lines are kept.
    """
    try:
        return _read_ahead(settings, part, advance, io.BytesIO() if keep else None)
    except Exception:  # noqa: BLE001  whatever it was, it is raised again where the part is read in order
        return b""


def _read_ahead(settings: Settings, part: Part, advance: Callable[[int], None], keep: io.BytesIO | None) -> bytes:
    waiting, found, rejects = NotingWaiting(), _Gathered(settings.selection), Rejects(keep)
    reader = Reader(settings, rejects, waiting, NotingCorrelator)
    logs, failure, size, samples = list[LogRead](), "", part.size, 0

    def on_chunk(log: Log, _position: int, read: int) -> None:
        nonlocal size
        waiting.spill()
        if log.size:  # else it is compressed: how much of it has been read is not known
            advance(read)
            size -= read
        if found.bytes + rejects.kept_bytes + samples > _MAX_RESULT_BYTES:
            raise OverflowError

    try:
        for log in reader.read(part, found, on_chunk):
            logs.append(log)
            samples += len(log.sample)
    except Unreadable as error:
        failure = str(error)
    advance(max(size, 0))
    if not (part.is_last or failure or reader.detector.carries_nothing):
        return b""
    kept = keep.getvalue() if keep else b""
    ahead, first = waiting.leave(reader.detector), _beginning(rejects.first)
    counted = (rejects.reasons, first, rejects.torn, rejects.sample)
    return _encode(
        Result(ahead, found.found, reader.names, logs, reader.errors, *counted, kept, rejects.unclear, failure)
    )


class _Gathered:
    """The alerts of a part, each once."""

    def __init__(self, selection: Selection) -> None:
        self.found: list[tuple[int, Found]] = []
        self.bytes = 0
        self._step = -1
        self._seen: set[tuple[int, str]] = set()
        self._selection = selection

    def add(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            if isinstance(verdict, StepVerdict):
                self._step = verdict.number
                self.bytes += _STEP_BYTES
                continue
            copy = copy_of(verdict)
            if (copy, "") not in self._seen and (found := find(verdict, key_of(verdict), self._selection, _fail)):
                if (copy, found.hidden_by) in self._seen:
                    continue
                self._seen.add((copy, found.hidden_by))
                self.found.append((self._step, found))
                self.bytes += len(found.alert)


def _fail(_name: str, error: Exception) -> None:
    raise error


def _beginning(first: Rejected | None) -> Rejected | None:
    """Return a rejected line without what no hint is made of."""
    return first and msgspec.structs.replace(first, raw=first.raw[: SMALL_BYTES + 1], whole=b"")


def shown(name: str) -> str:
    """Return the name of a log for people."""
    return "stdin" if name == STDIN else name
