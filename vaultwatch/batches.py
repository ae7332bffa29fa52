"""Evaluate frames and segments against the rules, and return their alerts.

Bad content never stops a batch: a frame that cannot be read becomes an `UnreadableFrame`, a line that cannot be parsed
a `Rejected`. Any other error than `FrameError` that the caller's `claim` raises is a failure of the infrastructure, and
passes through.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from vaultwatch import frames
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.canary import canaries, mark_of
from vaultwatch.detection.absences import GroupSeen
from vaultwatch.detection.counting import CountedWindow
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.firsts import CombinationSeen
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import MAX_WAITING
from vaultwatch.errors import ArchiveError, FrameError
from vaultwatch.frames import Frame, Heartbeat, Records, Reference
from vaultwatch.isolation import NO_MARK
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Origin, Rejected, split_tag
from vaultwatch.reading.rejected import encode_rejected

HELD_BYTES = 32 * 1024 * 1024
"""Frames are decoded until their lines exceed this, then evaluated: it bounds the memory that a batch takes.

A line takes its bytes twice: once in the decoded frame, once on its own.
"""
MANY_ALERTS = 1000
"""Alerts are yielded once this many have been raised, and at the end of a frame: 64 MiB of lines can raise 100,000."""
SLICE_LINES = 1000
SLICE_BYTES = 1024 * 1024
"""Lines that are evaluated between two signs of progress."""
MAX_REJECTED_BYTES = 1024 * 1024
MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Rejected lines of a batch that are held in memory, as JSON lines."""
MAX_LINES = 50_000
MIN_LINE_BYTES = 64
"""A frame may have more than `MAX_LINES` if they have this size on average: those of any real log do, with their tags.

A broken line takes up to 80 us, whatever its size: so those of one frame of 16 MiB take 21 s at most.
"""
MAX_SEARCHED = 100_000
"""Parts of lines in another form, which take up to 40 us each: those of a frame that has more are left to the sweep."""
MAX_COUNTED = 5_000
"""Windows of one batch whose counts are joined with those of others: a few kB each."""
NO_FRAME = NO_MARK
EXCLUDED = "evaluating it: "
"""How the reason for a frame or a record begins that ended its process."""
_TOO_MUCH_REJECTED = f"its batch has more than {MAX_KEPT_BYTES} bytes of rejected lines"
_HEAD_BYTES = 4096
_CANARY = mark_of()


class EncodedFrame(msgspec.Struct, frozen=True):
    """The data of one Kinesis record. `name` is unique: shard and sequence number."""

    name: str
    data: bytes


class UnreadableFrame(msgspec.Struct, frozen=True):
    """A frame that cannot be decoded, or whose lines cannot be fetched, with the reason."""

    frame: EncodedFrame
    reason: str


class RejectedLines(msgspec.Struct, frozen=True):
    """The rejected lines of one frame, as JSON lines, with what identifies the frame."""

    first: datetime
    process: UUID
    sequence: int
    lines: bytes


class Findings(msgspec.Struct):
    """What evaluating a batch found, apart from its alerts.

    `rejected_lines` are those of each frame, if they are kept, `excluded_lines` those rejected unread, as JSON lines.
    `beats` counts the heartbeat frames of each log source, `received` the lines of each origin, `canaries` the entries
    of the canary by lane, `rule_errors` the errors of each rule, `partial` the records over their budget, `undecided`
    how often a rule was undecided on one; `oldest` is the arrival time of the first line. `counted` is what
    correlations have counted, at most `MAX_COUNTED` windows, and `groups_dropped` how many counts were given up, or how
    many matches not counted, because their times are to come. `seen` are the combinations that those which learn have
    seen, and `expected` is when expected events were.
    """

    unreadable: list[UnreadableFrame] = []
    rejected_lines: list[RejectedLines] = []
    excluded_lines: list[bytes] = []
    heartbeats: dict[str, Heartbeat] = {}
    beats: Counter[str] = msgspec.field(default_factory=Counter)
    received: Counter[Origin] = msgspec.field(default_factory=Counter)
    canaries: Counter[str] = msgspec.field(default_factory=Counter)
    frames: int = 0
    records: int = 0
    rejected: int = 0
    rule_errors: Counter[str] = msgspec.field(default_factory=Counter)
    partial: int = 0
    undecided: int = 0
    oldest: datetime | None = None
    counted: list[CountedWindow] = []
    groups_dropped: int = 0
    seen: list[CombinationSeen] = []
    expected: list[GroupSeen] = []


Claim = Callable[[Reference], bytes]
"""Fetches the lines that a reference points to.

Raises `FrameError` if the object is missing, is outside the bucket and prefix of this deployment, or was changed.
"""


class Progress(Protocol):
    """Learns how far an evaluation is."""

    def mark(self, number: int) -> None:
        """Learn which frame or record is evaluated now; `NO_FRAME` if it is none of them."""
        ...

    def beat(self, size: int) -> None:
        """Learn that lines of so many bytes are evaluated next."""
        ...


class Evaluation:
    """The evaluation of one batch or one segment against the rules.

    Use it once. `findings` is complete when the last alert has been yielded.

    Args:
        rules: The rules.
        zone: The zone of `local.hour` and `local.weekday`.
        claim: Fetches the lines that a frame refers to.
        keeps_rejected: Whether the rejected lines of frames are kept in `findings`.
        limits_lines: Whether a frame with more lines than any real log has is returned as unreadable, for a function
            with more time. Otherwise it is evaluated like any other.
        progress: Learns which frame is evaluated.
        excluded: Why records are rejected unread, beginning with `EXCLUDED`, by their numbers. With it, each record is
            evaluated by itself, its alerts are yielded at once, and `progress` learns which record is evaluated.
        is_thorough: Whether all entries are searched for members that stand twice; see `Detector`.
    """

    def __init__(
        self,
        rules: Ruleset,
        zone: tzinfo | None,
        *,
        claim: Claim,
        keeps_rejected: bool = False,
        limits_lines: bool = False,
        progress: Progress | None = None,
        excluded: Mapping[int, str] | None = None,
        is_thorough: bool = False,
    ) -> None:
        self.findings = Findings()
        self._claim = claim
        self._keeps_rejected = keeps_rejected
        self._limits_lines = limits_lines
        self._kept_bytes = 0
        self._progress = progress
        self._excluded = excluded
        self._number = NO_FRAME
        self._waiting: dict[str, int] = {}
        self._rejected: list[Rejected] = []
        # A MemoryError ends the batch: a function with more memory evaluates it again.
        self._detector = Detector(
            rules,
            zone=zone,
            on_rejected=self._reject,
            on_waiting=self._note_waiting,
            fatal=(MemoryError,),
            before_record=None if excluded is None else self._before_record,
            max_searched=MAX_SEARCHED if limits_lines else sys.maxsize,
            is_thorough=is_thorough,
        )
        self._detector.correlator.received = time.time()
        self._detector.correlator.concludes = False

    def frames(self, encoded_frames: Iterable[EncodedFrame]) -> Iterator[list[Alert]]:
        """Evaluate a batch of frames, each process's frames in the order in which it sent them.

        A match on a request waits for its response until the end of the batch.

        Args:
            encoded_frames: The frames; Kinesis may return them in any order, and more than once.

        Yields:
            Alerts, as soon as they are raised; a list may be empty.
        """
        for held in self._unpack(encoded_frames):
            found: list[Alert] = []
            for one in sorted(held, key=lambda one: (str(one.frame.process), one.frame.sequence)):
                self._begin_frame(one.number)
                for part in self._frame(one.encoded, one.frame):
                    found += part
                    if len(found) >= MANY_ALERTS or (found and self._excluded is not None):
                        yield found
                        found = []
            yield found
        self._begin_frame(NO_FRAME)
        yield self._finish()

    def segment(
        self, chunks: Iterable[bytes], tag: bytes, log_start: str, *, has_tags: bool = True
    ) -> Iterator[list[Alert]]:
        """Evaluate one segment of the archive.

        Its rejected lines are only counted: the archive has them already.

        Args:
            chunks: The segment's bytes, decompressed.
            tag: The tag to put before each line that has none.
            log_start: When the segment began, RFC 3339; see `Detector.begin_log`.
            has_tags: Whether lines may have tags. In the file of a node they have none, or somebody has forged them.

        Yields:
            Alerts, as soon as they are raised; a list may be empty.

        Raises:
            ArchiveError: If `chunks` raises it, after everything before the damage has been evaluated.
        """
        splitter = LineSplitter()
        head = True
        damage: list[ArchiveError] = []
        for chunk in _until_damage(chunks, damage):
            if head:
                self._detector.begin_log(chunk[:_HEAD_BYTES], log_start)
                head = False
            yield from self._feed_segment(splitter.push(chunk), tag, has_tags=has_tags)
        yield from self._feed_segment(splitter.flush(), tag, has_tags=has_tags)
        yield self._finish()
        if damage:
            raise damage[0]

    def _unpack(self, encoded_frames: Iterable[EncodedFrame]) -> Iterator[list[_Decoded]]:
        held: list[_Decoded] = []
        size = 0
        for number, encoded in enumerate(encoded_frames):
            self._begin_frame(number)
            try:
                frame = frames.decode(encoded.data)
            except FrameError as error:
                self.findings.unreadable.append(UnreadableFrame(encoded, str(error)))
                continue
            held.append(_Decoded(number, encoded, frame))
            size += frame.content.size if isinstance(frame.content, Records) else 0
            if size > HELD_BYTES:
                yield held
                held, size = [], 0
        yield held

    def _frame(self, encoded: EncodedFrame, frame: Frame) -> Iterator[list[Alert]]:
        found, content = self.findings, frame.content
        found.frames += 1
        if isinstance(content, Heartbeat):
            found.heartbeats[str(frame.process)] = content
            found.beats[frame.source] += 1
            return
        try:
            records = content if isinstance(content, Records) else Records(self._claim(content))
            self._check_lines(records)
        except FrameError as error:
            found.unreadable.append(UnreadableFrame(encoded, str(error)))
            return
        found.oldest = min(frame.first, found.oldest or frame.first)
        self._detector.begin_log(records.head(_HEAD_BYTES), frame.log_start, frame.before)
        groups = _by_origin(records.split)
        has_canary = _CANARY in records.data  # one search in the frame: most have none
        del records  # frees two copies of lines that were fetched: there can be 100 MiB of them
        for origin, lines in groups:
            if origin.lane:
                found.received[origin] += len(lines)
            if has_canary and origin.lane:
                found.canaries[origin.lane] += canaries(lines, _CANARY)
            yield from self._feed(lines, origin)
        yield self._alerts(self._detector.end_log())
        if self._rejected:
            self._keep_rejected(encoded, frame)

    def _check_lines(self, records: Records) -> None:
        count = len(records.split)
        most = max(MAX_LINES, min(records.size, frames.MAX_LINES_BYTES) // MIN_LINE_BYTES)
        if self._limits_lines and count > most:
            raise FrameError(f"{count} lines in {records.size} bytes, more than any log has")

    def _reject(self, rejected: Rejected) -> None:
        if rejected.reason.startswith(EXCLUDED):
            self.findings.excluded_lines.append(rejected_lines([rejected]))
        elif self._keeps_rejected:
            self._rejected.append(rejected)

    def _keep_rejected(self, encoded: EncodedFrame, frame: Frame) -> None:
        lines = rejected_lines(self._rejected)
        self._rejected.clear()
        self._kept_bytes += len(lines)
        if self._kept_bytes > MAX_KEPT_BYTES:
            self.findings.unreadable.append(UnreadableFrame(encoded, _TOO_MUCH_REJECTED))
        else:
            self.findings.rejected_lines.append(RejectedLines(frame.first, frame.process, frame.sequence, lines))

    def _feed_segment(self, lines: list[bytes], tag: bytes, *, has_tags: bool) -> Iterator[list[Alert]]:
        if has_tags:
            yield from self._feed([_tagged(line, tag) for line in lines])
        else:
            yield from self._feed([split_tag(line)[1] for line in lines], split_tag(tag)[0])

    def _feed(self, lines: list[bytes], origin: Origin | None = None) -> Iterator[list[Alert]]:
        for some in _slices(lines, 1 if self._excluded is not None else SLICE_LINES):
            if self._progress:
                self._progress.beat(sum(map(len, some)))
            yield self._alerts(self._detector.feed(some, origin=origin))

    def _alerts(self, verdicts: Sequence[Verdict]) -> list[Alert]:
        """Describe verdicts; meanwhile, the frame or record with the request is the one that is evaluated."""
        alerts: list[Alert] = []
        for verdict in verdicts:
            self._mark(self._waiting.pop(verdict.event_key, self._number))
            alerts.append(alert_of(verdict, self._detector.count_rule_error))
        if verdicts:
            self._mark(self._number)
        return alerts

    def _note_waiting(self, verdicts: Sequence[Verdict]) -> None:
        self._waiting.update((verdict.event_key, self._number) for verdict in verdicts)
        if len(self._waiting) > 2 * MAX_WAITING:
            waiting = {verdict.event_key for verdict in self._detector.waiting()}
            self._waiting = {key: number for key, number in self._waiting.items() if key in waiting}

    def _begin_frame(self, number: int) -> None:
        if self._excluded is None:
            self._number = number
            self._mark(number)

    def _before_record(self) -> str:
        self._number += 1
        self._mark(self._number)
        return (self._excluded or {}).get(self._number, "")

    def _mark(self, number: int) -> None:
        if self._progress:
            self._progress.mark(number)

    def _finish(self) -> list[Alert]:
        alerts = self._alerts(self._detector.flush())
        counts = self._detector.counts
        self.findings.records = counts.audit + counts.server
        self.findings.rejected = counts.rejected
        self.findings.rule_errors = counts.rule_errors
        self.findings.partial = counts.partial
        self.findings.undecided = counts.undecided.total()
        counting = self._detector.correlator.counting
        self.findings.counted = counting.largest(MAX_COUNTED)
        self.findings.seen = self._detector.correlator.firsts.drain()
        self.findings.expected = self._detector.correlator.runs.drain()
        self.findings.groups_dropped = self._detector.correlator.dropped + counts.future
        return alerts


class _Decoded(NamedTuple):
    """A frame with its number in its batch."""

    number: int
    encoded: EncodedFrame
    frame: Frame


def _until_damage(chunks: Iterable[bytes], damage: list[ArchiveError]) -> Iterator[bytes]:
    try:
        yield from chunks
    except ArchiveError as error:
        damage.append(error)


def _tagged(line: bytes, tag: bytes) -> bytes:
    return line if split_tag(line)[0].lane else tag + line


def _slices(lines: list[bytes], most: int) -> Iterator[list[bytes]]:
    """Divide lines into slices of at most so many lines; one that exceeds `SLICE_BYTES` ends its slice."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) >= most or size > SLICE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _by_origin(lines: Sequence[bytes]) -> Iterable[tuple[Origin, list[bytes]]]:
    """Group lines by origin, in their order and without their tags."""
    by_origin: dict[Origin, list[bytes]] = {}
    by_tag: dict[bytes, list[bytes]] = {}
    for line in lines:
        tag, _, text = line.partition(b" ")
        group = by_tag.get(tag)
        if group is None:
            origin, text = split_tag(line)
            group = by_origin.setdefault(origin, [])
            if origin.lane:
                by_tag[tag] = group
        group.append(text)
    return by_origin.items()


def checked(lines: bytes, reference: Reference) -> bytes:
    """Return `lines` if they are the ones that the reference points to.

    Raises:
        FrameError: If their size or their SHA-256 differs from the reference.
    """
    if len(lines) != reference.size or hashlib.sha256(lines).hexdigest() != reference.sha256:
        raise FrameError(f"reference: {reference.key[:200]} contains other lines than the reference describes")
    return lines


def rejected_lines(rejected: Sequence[Rejected]) -> bytes:
    """Return rejected lines as JSON lines, each cut to its first MiB: the archive has the whole line."""
    return b"".join(piece for one in rejected for piece in encode_rejected(one, MAX_REJECTED_BYTES))
