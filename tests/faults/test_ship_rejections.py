"""Kinesis rejects, throttles, fails or does not answer: every line arrives, and only what failed is sent again."""

from __future__ import annotations

import gc
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest

from tests.support.kinesis import MAX_RECORDS, Answered, Kinesis, Rejected, Silent
from tests.support.shipping import FAST, Shipping
from vaultwatch.frames import Heartbeat
from vaultwatch.ship import ShipOptions
from vaultwatch.ship.outbox import Outbox, StreamRecord
from vaultwatch.ship.sending import Sender


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kinesis]:
    with Kinesis() as kinesis:
        monkeypatch.setenv("AWS_ENDPOINT_URL", kinesis.url)
        yield kinesis
        assert kinesis.broken_limits == []


@pytest.fixture
def options(aws: Kinesis, tmp_path: Path) -> ShipOptions:
    name = f"s-{uuid.uuid4()}"
    with closing(boto3.client("kinesis")) as client:
        client.create_stream(StreamName=name, ShardCount=2)
    return ShipOptions("audit", name, state=tmp_path, pace=replace(FAST, close_after_seconds=0.0))


def numbered(count: int) -> list[bytes]:
    return [b'@prod/vault-%d/file {"request":{"id":"%08d"}}\n' % (number % 3, number) for number in range(count)]


def send_one_a_frame(shipping: Shipping, lines: list[bytes]) -> None:
    for line in lines:
        shipping.write(line)
        shipping.wait_until_read()


def assert_all_arrived(aws: Kinesis, lines: list[bytes]) -> None:
    frames = aws.frames()
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert aws.lines() == b"".join(lines)
    last = frames[-1].content
    assert isinstance(last, Heartbeat)
    assert last.final
    assert sum(row.lines for row in last.counters) == len(lines)
    assert sum(row.bytes for row in last.counters) == len(b"".join(lines))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_only_the_rejected_part_of_a_call_is_sent_again(aws: Kinesis, options: ShipOptions, share: float) -> None:
    lines = numbered(300)
    aws.fault = lambda call: Silent(False)  # so that the calls after it carry many frames
    with Shipping(options) as shipping:
        send_one_a_frame(shipping, lines)
        aws.wait_for(lambda: aws.calls and len(aws.calls[-1]) >= len(lines))
        partial_until = len(aws.calls) + 30
        aws.fault = lambda call: Rejected(share) if call < partial_until else None
    assert_all_arrived(aws, lines)
    assert len(aws.taken) == len(aws.frames()), "no accepted frame was sent twice"


def test_the_limits_of_a_call_hold_after_an_outage_with_more_frames(aws: Kinesis, options: ShipOptions) -> None:
    lines = numbered(700)
    aws.fault = lambda call: Silent(False)
    with Shipping(options) as shipping:
        send_one_a_frame(shipping, lines)
        aws.wait_for(lambda: aws.calls and len(aws.calls[-1]) >= MAX_RECORDS)
        aws.fault = lambda call: None
    assert_all_arrived(aws, lines)
    assert max(len(call) for call in aws.calls) == MAX_RECORDS


def test_a_throttled_stream_receives_everything_in_the_end(aws: Kinesis, options: ShipOptions) -> None:
    lines = numbered(100)
    aws.fault = lambda call: Rejected(1.0) if call < 10 else None
    with Shipping(options) as shipping:
        send_one_a_frame(shipping, lines)
    assert_all_arrived(aws, lines)


@pytest.mark.parametrize("code", ["InternalFailure", "ThrottlingException", "SomethingNobodyKnows"])
def test_a_failed_call_is_retried(aws: Kinesis, options: ShipOptions, code: str) -> None:
    lines = numbered(50)
    aws.fault = lambda call: Answered(code, 500) if call < 5 else None
    with Shipping(options) as shipping:
        send_one_a_frame(shipping, lines)
    assert_all_arrived(aws, lines)


@pytest.mark.parametrize("taken", [True, False])
def test_a_call_without_an_answer_is_retried_and_its_frames_can_be_recognised_as_copies(
    aws: Kinesis, options: ShipOptions, taken: bool
) -> None:
    lines = numbered(50)
    aws.fault = lambda call: Silent(taken) if call < 2 else None
    with Shipping(options) as shipping:
        send_one_a_frame(shipping, lines)
    assert_all_arrived(aws, lines)
    copies = Counter(key for key, _ in aws.taken)
    assert (max(copies.values()) > 1) is taken
    assert len(copies) == len(set(aws.taken)), "a copy is the same, byte for byte"


TAKEN = {"SequenceNumber": "1", "ShardId": "shardId-000000000000"}
ANSWERS: list[Any] = [None, [], {}, {"Records": None}, {"Records": "taken"}, {"Records": []}, {"Records": [TAKEN] * 99}]
RESULTS: list[Any] = [None, "taken", {}, {"ErrorCode": 5}, {"SequenceNumber": None}]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(answer, marks=[] if number % 3 == 0 else [pytest.mark.long])
        for number, answer in enumerate([*ANSWERS, *({"each": result} for result in RESULTS)])
    ],
)
def test_an_answer_that_is_not_from_kinesis_does_not_count_as_accepted(
    aws: Kinesis, options: ShipOptions, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """As from a proxy: what was not clearly accepted is sent again, and the handler keeps running."""
    whole, wrong = aws._answer, iter(range(2))

    def reply(start_response: Any, status: int, body: Any) -> list[bytes]:
        each = isinstance(answer, dict) and "each" in answer
        false = {"Records": [answer["each"]] * len(body["Records"])} if each else answer
        return whole(start_response, status, body if next(wrong, None) is None else false)

    monkeypatch.setattr(aws, "_answer", reply)
    with Shipping(options) as shipping:
        shipping.write(b"one\n")
        aws.wait_for(lambda: len(aws.calls) > 2)
    assert aws.lines() == b"one\n"
    assert len(aws.taken) > len(aws.frames())


def alive_requests() -> int:
    return sum(type(thing) is AWSPreparedRequest for thing in gc.get_objects())


def test_failed_calls_do_not_use_up_memory_however_long_an_outage_lasts(
    options: ShipOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failed call leaves a reference cycle that keeps its body; without a collection all 20 would remain."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    gc.collect()
    before = alive_requests()
    rounds = Rounds(options, 20)
    gc.disable()
    try:
        rounds.run()
        assert alive_requests() - before <= 1
    finally:
        gc.enable()


class Rounds(Sender):
    """A sender whose outbox is closed after a number of failed calls."""

    def __init__(self, options: ShipOptions, rounds: int) -> None:
        self._box = Outbox()
        self._box.put(StreamRecord("key", b"data"))
        self._box.close()
        self._rounds = rounds
        super().__init__(options.stream, self._box, options.pace)

    def _send(self, records: list[StreamRecord]) -> list[StreamRecord]:
        self._rounds -= 1
        rejected = super()._send(records)
        return rejected if self._rounds else []
