"""Evaluate frames and segments in child processes, so that no content can end the function that evaluates it.

A frame, or in a sweep a record, that ends its child is set aside with the reason, and the others are evaluated again
without it: an alert that has been yielded before is yielded again and is known by its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, tzinfo
from functools import partial

import msgspec

from vaultwatch import isolation
from vaultwatch.alerts import Alert
from vaultwatch.batches import (
    EXCLUDED,
    NO_FRAME,
    Claim,
    EncodedFrame,
    Evaluation,
    Findings,
    RejectedLines,
    UnreadableFrame,
)
from vaultwatch.detection.absences import GroupSeen
from vaultwatch.detection.counting import CountedWindow
from vaultwatch.detection.evaluator import Ruleset, collect_garbage_rarely
from vaultwatch.detection.firsts import CombinationSeen
from vaultwatch.errors import ArchiveError, ChildEnded, FrameError
from vaultwatch.frames import Heartbeat, Reference
from vaultwatch.isolation import NO_MARK, Channel, Content, Limits, Patience
from vaultwatch.reading.records import Origin

MAX_EXCLUDED = 200
"""Records of one object that may end a child before what is behind them is given up."""
Alerts = Iterator[list[Alert]]

_MESSAGE_BYTES = 8 * 1024 * 1024
_WINDOWS = 500
_CLAIMED, _REFUSED = b"+", b"-"


class _Alerts(msgspec.Struct, frozen=True, tag="alerts"):
    """Some alerts, each as `encode_alert` encodes it."""

    alerts: list[bytes]


class _Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    lines: RejectedLines


class _Counted(msgspec.Struct, frozen=True, tag="counted"):
    windows: list[CountedWindow]


class _Seen(msgspec.Struct, frozen=True, tag="seen"):
    combinations: list[CombinationSeen]


class _Findings(msgspec.Struct, frozen=True, tag="findings"):
    """`Findings` without what is sent by itself; unreadable frames by their names."""

    unreadable: list[tuple[str, str]]
    excluded_lines: list[bytes]
    heartbeats: dict[str, Heartbeat]
    beats: dict[str, int]
    received: list[tuple[Origin, int]]
    canaries: dict[str, int]
    frames: int
    records: int
    rejected: int
    rule_errors: dict[str, int]
    partial: int
    undecided: int
    oldest: datetime | None
    groups_dropped: int
    expected: list[GroupSeen]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Alerts | _Rejected | _Counted | _Seen | _Findings).decode


class _Isolated:
    """What evaluations in child processes have in common.

    Use it once. `findings` is complete when the last alert has been yielded.

    Args:
        rules: The rules.
        zone: The zone of `local.hour` and `local.weekday`.
        claim: Fetches the lines that a frame refers to; called in this process.
        limits: What each child may use.
        patience: How long all children together may take.
    """

    def __init__(
        self, rules: Ruleset, zone: tzinfo | None, *, claim: Claim, limits: Limits, patience: Patience
    ) -> None:
        self.findings = Findings()
        self._rules = rules
        self._zone = zone
        self._claim = claim
        self._limits = limits
        self._patience = patience

    def _in_child(
        self, start: Callable[[Channel], tuple[Evaluation, Alerts]], frames: Iterable[EncodedFrame], limits: Limits
    ) -> Generator[list[Alert], None, None]:
        """Yield the alerts of an evaluation that is made and started in the child; set `findings` at its end."""
        from vaultwatch.store.encoding import decode_alert

        by_name = {frame.name: frame for frame in frames}
        rejected, counted, seen = list[RejectedLines](), list[CountedWindow](), list[CombinationSeen]()
        work = partial(_work, start)
        with closing(isolation.run(work, limits, self._patience, self._answer)) as messages:
            for message in messages:
                content = _decode(message)
                if isinstance(content, _Alerts):
                    yield [decode_alert(alert) for alert in content.alerts]
                elif isinstance(content, _Rejected):
                    rejected.append(content.lines)
                elif isinstance(content, _Counted):
                    counted += content.windows
                elif isinstance(content, _Seen):
                    seen += content.combinations
                else:
                    found = _findings(content, by_name, rejected, counted)
                    self.findings = msgspec.structs.replace(found, seen=seen)

    def _answer(self, question: Content) -> bytes:
        """Fetch lines for a child, which must use no connection of this process."""
        try:
            return _CLAIMED + self._claim(msgspec.msgpack.decode(question, type=Reference))
        except FrameError as error:
            return _REFUSED + str(error).encode(errors="replace")


class IsolatedEvaluation(_Isolated):
    """The evaluation of one batch of frames, in as many child processes as it needs, one after the other.

    `findings.unreadable` has, among others, the frames that ended a child, and those for which no time was left.
    """

    def frames(self, encoded_frames: Iterable[EncodedFrame]) -> Generator[list[Alert], None, None]:
        """Evaluate a batch of frames, like `Evaluation.frames`.

        Args:
            encoded_frames: The frames, each with a name of its own.

        Yields:
            Alerts, as soon as they are raised; some of them again after a frame has ended its child.

        Raises:
            OSError: No process can be started.
        """
        left, set_aside, limits = list(encoded_frames), list[UnreadableFrame](), self._limits
        while left:
            try:
                yield from self._in_child(partial(self._start, left), left, limits)
                break
            except ChildEnded as ended:
                limits = limits.shorter()
                if ended.mark == NO_FRAME or self._patience.is_exhausted:
                    # Stored first, so that they are also swept first: most of them are harmless.
                    set_aside[:0] = [UnreadableFrame(frame, EXCLUDED + ended.reason) for frame in left]
                    break
                set_aside.append(UnreadableFrame(left.pop(ended.mark), EXCLUDED + ended.reason))
        self.findings.unreadable += set_aside
        _import_what_every_child_would()

    def _start(self, frames: list[EncodedFrame], channel: Channel) -> tuple[Evaluation, Alerts]:
        evaluation = Evaluation(
            self._rules,
            self._zone,
            claim=_asking(channel),
            keeps_rejected=True,
            limits_lines=True,
            progress=channel,
        )
        return evaluation, evaluation.frames(frames)


class IsolatedSweep(_Isolated):
    """The evaluation of one object by `sweep`: in one child process if it can be, else without single records.

    A record that ends its child is excluded, and everything is evaluated again without it, so that identities stay what
    they are. `findings.unreadable` has what remains unevaluated, with the reason: it has too many such records, or is
    damaged.
    """

    def frames(self, encoded_frames: Iterable[EncodedFrame]) -> Generator[list[Alert], None, None]:
        """Evaluate frames, like `Evaluation.frames`, but without keeping their rejected lines.

        Args:
            encoded_frames: The frames, each with a name of its own.

        Yields:
            Alerts, as soon as they are raised; some of them again after a record has ended its child.

        Raises:
            OSError: No process can be started.
        """
        frames = list(encoded_frames)
        yield from self._sweep(lambda evaluation: evaluation.frames(frames), frames)

    def segment(
        self, name: str, chunks: Callable[[], Iterable[bytes]], tag: bytes, log_start: str, *, has_tags: bool = True
    ) -> Generator[list[Alert], None, None]:
        """Evaluate one segment of the archive, like `Evaluation.segment`.

        Args:
            name: What `findings.unreadable` calls it if it is damaged.
            chunks: Returns the segment's bytes from their beginning, decompressed; called in a child.
            tag: The tag to put before each line that has none.
            log_start: When the segment began, RFC 3339; see `Detector.begin_log`.
            has_tags: Whether lines may have tags; see `Evaluation.segment`.

        Yields:
            Alerts, as soon as they are raised; some of them again after a record has ended its child.

        Raises:
            OSError: No process can be started.
        """
        segment = EncodedFrame(name, b"")

        def start(evaluation: Evaluation) -> Alerts:
            try:
                yield from evaluation.segment(chunks(), tag, log_start, has_tags=has_tags)
            except ArchiveError as error:
                evaluation.findings.unreadable.append(UnreadableFrame(segment, str(error)))

        yield from self._sweep(start, [segment])

    def _sweep(
        self, start: Callable[[Evaluation], Alerts], frames: list[EncodedFrame]
    ) -> Generator[list[Alert], None, None]:
        excluded: dict[int, str] | None = None  # first all at once; what a child finds by itself is exact and slower
        limits = self._limits.shortest()
        while True:
            try:
                yield from self._in_child(partial(self._start, start, excluded), frames, limits)
                break
            except ChildEnded as ended:
                if self._is_hopeless(excluded, ended):
                    self.findings.unreadable = [UnreadableFrame(frame, EXCLUDED + ended.reason) for frame in frames]
                    break
                limits = self._limits
                excluded = {} if excluded is None else excluded | {ended.mark: EXCLUDED + ended.reason}

    def _is_hopeless(self, excluded: dict[int, str] | None, ended: ChildEnded) -> bool:
        known = () if excluded is None else (NO_MARK, *excluded)
        return self._patience.is_exhausted or ended.mark in known or len(known) > MAX_EXCLUDED

    def _start(
        self, start: Callable[[Evaluation], Alerts], excluded: dict[int, str] | None, channel: Channel
    ) -> tuple[Evaluation, Alerts]:
        claim = _asking(channel)
        evaluation = Evaluation(
            self._rules, self._zone, claim=claim, progress=channel, excluded=excluded, is_thorough=True
        )
        return evaluation, start(evaluation)


def _work(start: Callable[[Channel], tuple[Evaluation, Alerts]], channel: Channel) -> None:
    collect_garbage_rarely()
    evaluation, found = start(channel)
    for alerts in found:
        _send_alerts(channel, alerts)
    _send_findings(channel, evaluation.findings)


def _asking(channel: Channel) -> Claim:
    def claim(reference: Reference) -> bytes:
        answer = channel.ask(_encode(reference))
        if answer.startswith(_REFUSED):
            raise FrameError(answer[1:].decode())
        return answer[1:]

    return claim


def _send_alerts(channel: Channel, alerts: Sequence[Alert]) -> None:
    """Send alerts in messages of at most about 8 MiB."""
    from vaultwatch.store.encoding import encode_alert

    held, size = list[bytes](), 0
    for alert in alerts:
        held.append(encode_alert(alert))
        size += len(held[-1])
        if size > _MESSAGE_BYTES:
            channel.send(_encode(_Alerts(held)))
            held, size = [], 0
    if held:
        channel.send(_encode(_Alerts(held)))


def _send_findings(channel: Channel, found: Findings) -> None:
    for lines in found.rejected_lines:
        channel.send(_encode(_Rejected(lines)))
    for at in range(0, len(found.counted), _WINDOWS):
        channel.send(_encode(_Counted(found.counted[at : at + _WINDOWS])))
    for at in range(0, len(found.seen), _WINDOWS):
        channel.send(_encode(_Seen(found.seen[at : at + _WINDOWS])))
    rest = _Findings(
        unreadable=[(one.frame.name, one.reason) for one in found.unreadable],
        excluded_lines=found.excluded_lines,
        heartbeats=found.heartbeats,
        beats=found.beats,
        received=list(found.received.items()),
        canaries=found.canaries,
        frames=found.frames,
        records=found.records,
        rejected=found.rejected,
        rule_errors=found.rule_errors,
        partial=found.partial,
        undecided=found.undecided,
        oldest=found.oldest,
        groups_dropped=found.groups_dropped,
        expected=[(of, runs[-1:]) for of, runs in found.expected],
    )
    channel.send(_encode(rest))


def _findings(
    sent: _Findings, frames: dict[str, EncodedFrame], rejected: list[RejectedLines], counted: list[CountedWindow]
) -> Findings:
    return Findings(
        unreadable=[UnreadableFrame(frames[name], reason) for name, reason in sent.unreadable],
        rejected_lines=rejected,
        excluded_lines=sent.excluded_lines,
        heartbeats=sent.heartbeats,
        beats=Counter(sent.beats),
        received=Counter(dict(sent.received)),
        canaries=Counter(sent.canaries),
        frames=sent.frames,
        records=sent.records,
        rejected=sent.rejected,
        rule_errors=Counter(sent.rule_errors),
        partial=sent.partial,
        undecided=sent.undecided,
        oldest=sent.oldest,
        counted=counted,
        groups_dropped=sent.groups_dropped,
        expected=sent.expected,
    )


def _import_what_every_child_would() -> None:
    """Import what a function leaves out at its start, once the first batch is done: it would cost each child 30 ms."""
    import vaultwatch.detection.server
    import vaultwatch.store.encoding  # noqa: F401
