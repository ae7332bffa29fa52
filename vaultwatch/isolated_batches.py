"""Evaluate frames in child processes, so that no content can end the function that evaluates it.

A frame that ends its child is set aside with the reason, and the others are evaluated again without it: an alert that
has been yielded before is yielded again and is known by its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, tzinfo

import msgspec

from vaultwatch import isolation
from vaultwatch.alerts import Alert
from vaultwatch.batches import NO_FRAME, Claim, EncodedFrame, Evaluation, Findings, RejectedLines, UnreadableFrame
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import ChildEnded, FrameError
from vaultwatch.frames import Heartbeat, Reference
from vaultwatch.isolation import Channel, Content, Limits, Patience
from vaultwatch.reading.records import Origin

_MESSAGE_BYTES = 8 * 1024 * 1024
_CLAIMED, _REFUSED = b"+", b"-"


class _Alerts(msgspec.Struct, frozen=True, tag="alerts"):
    """Some alerts, each as `encode_alert` encodes it."""

    alerts: list[bytes]


class _Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    lines: RejectedLines


class _Findings(msgspec.Struct, frozen=True, tag="findings"):
    """`Findings` without what is sent by itself; unreadable frames by their names."""

    unreadable: list[tuple[str, str]]
    heartbeats: dict[str, Heartbeat]
    beats: dict[str, int]
    received: list[tuple[Origin, int]]
    frames: int
    records: int
    rejected: int
    rule_errors: dict[str, int]
    oldest: datetime | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Alerts | _Rejected | _Findings).decode


class IsolatedEvaluation:
    """The evaluation of one batch of frames, in as many child processes as it needs, one after the other.

    Use it once. `findings` is complete when the last alert has been yielded: `unreadable` has the frames that ended
    their child among others.

    Args:
        rules: The rules.
        zone: The zone of `local.hour` and `local.weekday`.
        claim: Fetches the lines that a frame refers to; called in this process.
        limits: What each child may use.
        patience: How long all children together may take; frames for which no time is left are set aside.
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

    def frames(self, encoded_frames: Iterable[EncodedFrame]) -> Generator[list[Alert], None, None]:
        """Evaluate a batch of frames, like `Evaluation.frames`.

        Args:
            encoded_frames: The frames, each with a name of its own.

        Yields:
            Alerts, as soon as they are raised; some of them again after a frame has ended its child.

        Raises:
            OSError: No process can be started.
        """
        left, set_aside = list(encoded_frames), list[UnreadableFrame]()
        while left:
            try:
                yield from self._in_child(left)
                break
            except ChildEnded as ended:
                blamed = self._blamed(left, ended)
                set_aside += [UnreadableFrame(frame, f"evaluating it: {ended.reason}") for frame in blamed]
                left = [frame for frame in left if frame not in blamed]
        self.findings.unreadable += set_aside
        _import_what_every_child_would()

    def _blamed(self, frames: list[EncodedFrame], ended: ChildEnded) -> list[EncodedFrame]:
        """Return the frame that ended a child; all, if it was none of them or there is no time for another child."""
        if ended.mark == NO_FRAME or self._patience.is_exhausted:
            return frames
        return [frames[ended.mark]]

    def _in_child(self, frames: Sequence[EncodedFrame]) -> Iterator[list[Alert]]:
        from vaultwatch.store.encoding import decode_alert

        by_name = {frame.name: frame for frame in frames}
        rejected = list[RejectedLines]()
        with closing(isolation.run(self._work(frames), self._limits, self._patience, self._answer)) as messages:
            for message in messages:
                content = _decode(message)
                if isinstance(content, _Alerts):
                    yield [decode_alert(alert) for alert in content.alerts]
                elif isinstance(content, _Rejected):
                    rejected.append(content.lines)
                else:
                    self.findings = _findings(content, by_name, rejected)

    def _work(self, frames: Sequence[EncodedFrame]) -> Callable[[Channel], None]:
        def work(channel: Channel) -> None:
            evaluation = Evaluation(
                self._rules,
                self._zone,
                claim=_asking(channel),
                keeps_rejected=True,
                limits_lines=True,
                on_frame=channel.mark,
            )
            for alerts in evaluation.frames(frames):
                _send_alerts(channel, alerts)
            _send_findings(channel, evaluation.findings)

        return work

    def _answer(self, question: Content) -> bytes:
        """Fetch lines for a child, which must use no connection of this process."""
        try:
            return _CLAIMED + self._claim(msgspec.msgpack.decode(question, type=Reference))
        except FrameError as error:
            return _REFUSED + str(error).encode(errors="replace")


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
    rest = _Findings(
        unreadable=[(one.frame.name, one.reason) for one in found.unreadable],
        heartbeats=found.heartbeats,
        beats=found.beats,
        received=list(found.received.items()),
        frames=found.frames,
        records=found.records,
        rejected=found.rejected,
        rule_errors=found.rule_errors,
        oldest=found.oldest,
    )
    channel.send(_encode(rest))


def _findings(sent: _Findings, frames: dict[str, EncodedFrame], rejected: list[RejectedLines]) -> Findings:
    return Findings(
        unreadable=[UnreadableFrame(frames[name], reason) for name, reason in sent.unreadable],
        rejected_lines=rejected,
        heartbeats=sent.heartbeats,
        beats=Counter(sent.beats),
        received=Counter(dict(sent.received)),
        frames=sent.frames,
        records=sent.records,
        rejected=sent.rejected,
        rule_errors=Counter(sent.rule_errors),
        oldest=sent.oldest,
    )


def _import_what_every_child_would() -> None:
    """Import what a function leaves out at its start, once the first batch is done: 30 ms for each child else."""
    import vaultwatch.detection.server
    import vaultwatch.store.encoding  # noqa: F401
