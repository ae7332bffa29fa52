"""The handler as a whole: what goes into the pipe comes out of the stream."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from tests.support.kinesis import Kinesis
from tests.support.shipping import FAST, Shipping
from tests.support.waiting import Heard
from vaultwatch.errors import SettingError
from vaultwatch.frames import Counter, Heartbeat, Records, Reference
from vaultwatch.ship import ShipOptions, run
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Batch

ODD = b"".join(
    [
        b"\n\n",
        b"\x00\x00\n",
        b"\xff\xfe\x80 no UTF-8\n",
        b"carriage return\r\n",
        "U+2028 \u2028 and U+0085 \u0085 end no line\n".encode(),
        b"@half a tag\n@prod/vault-1/file {}\n",
        b"x" * 300_000 + b"\n",
        b"the last has no newline",
    ]
)
HEAD, MORE = b"2026-11-21T07:29:43.682Z [ERROR] audit: backend failed\n", b"  error=\n  | broken pipe\n  \n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Kinesis]:
    with Kinesis() as kinesis:
        yield kinesis


@pytest.fixture
def aws(endpoint: Kinesis, monkeypatch: pytest.MonkeyPatch) -> Kinesis:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    endpoint.taken.clear()
    return endpoint


@pytest.fixture
def options(aws: Kinesis, tmp_path: Path) -> ShipOptions:
    name = f"s-{uuid.uuid4()}"
    with closing(boto3.client("kinesis")) as client:
        client.create_stream(StreamName=name, ShardCount=1)
    return ShipOptions("audit", name, state=tmp_path, pace=FAST)


@pytest.mark.parametrize("source", ["audit", "server"])
def test_whatever_the_lines_hold_passes_byte_for_byte(aws: Kinesis, options: ShipOptions, source: str) -> None:
    with Shipping(replace(options, source=source)) as shipping:
        for start in range(0, len(ODD), 50_001):
            shipping.write(ODD[start : start + 50_001])
    assert aws.lines() == ODD


def test_frames_are_in_one_sequence_from_one_process_with_heartbeats_at_both_ends(
    aws: Kinesis, options: ShipOptions
) -> None:
    before = datetime.now(UTC)
    with Shipping(options) as shipping:
        shipping.write(b"@prod/vault-1/file one\n@prod/vault-1/socket two\n")
        aws.wait_for(lambda: len(aws.taken) == 2)
        shipping.write(b"three\n")
    first, lines, more, last = aws.frames()
    assert [frame.sequence for frame in (first, lines, more, last)] == [0, 1, 2, 3]
    assert len({frame.process for frame in (first, lines, more, last)}) == 1
    assert {(frame.source, frame.log_server) for frame in (first, lines, more, last)} == {
        ("audit", os.uname().nodename)
    }
    assert before <= lines.first <= lines.last <= more.first <= datetime.now(UTC)
    assert first.content == Heartbeat(())
    assert last.content == Heartbeat(
        (
            Counter("prod", "vault-1", "file", 1, 23),
            Counter("prod", "vault-1", "socket", 1, 25),
            Counter("", "", "", 1, 6),
        ),
        final=True,
    )


def test_a_lone_line_leaves_on_time(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(options) as shipping:
        shipping.write(b"lone\n")
        aws.wait_for(lambda: aws.lines() == b"lone\n")


def test_heartbeats_come_even_when_no_line_does(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(replace(options, pace=replace(FAST, heartbeat_seconds=0.02))):
        aws.wait_for(lambda: len(aws.frames()) >= 4)
    assert {type(frame.content) for frame in aws.frames()} == {Heartbeat}


def test_a_server_message_that_comes_in_pieces_leaves_in_one(aws: Kinesis, options: ShipOptions) -> None:
    """How many messages a frame holds depends on the moment; where it begins and ends does not."""
    slow_to_settle = replace(FAST, close_after_seconds=0.0, settle_seconds=30.0, message_seconds=30.0)
    sent = (HEAD + MORE) * 3
    with Shipping(replace(options, source="server", pace=slow_to_settle)) as shipping:
        for line in sent.splitlines(keepends=True):
            shipping.write(line)
            shipping.wait_until_read()
    assert aws.lines() == sent
    for frame in aws.frames():
        if isinstance(frame.content, Records):
            assert frame.content.lines.startswith(HEAD)
            assert frame.content.lines.endswith(MORE)


def test_many_lines_make_frames_of_nearly_a_megabyte(aws: Kinesis, options: ShipOptions) -> None:
    line = os.urandom(500).hex().encode() + b"\n"
    lines = [os.urandom(500).hex().encode() + b"\n" for _ in range(4000)]
    with Shipping(replace(options, pace=replace(FAST, close_after_seconds=60.0))) as shipping:
        shipping.write(b"".join(lines))
    assert aws.lines() == b"".join(lines)
    sizes = [len(data) for _, data in aws.taken]
    assert max(sizes) <= 1_000_000
    assert sizes[2] > 500_000, f"of {len(lines)} lines of {len(line)} bytes"


def test_a_line_too_large_keeps_its_place_without_a_bucket_too(aws: Kinesis, options: ShipOptions) -> None:
    large = os.urandom(1_100_000).replace(b"\n", b".") + b"\n"
    with Shipping(options) as shipping:
        shipping.write(b"before\n" + large + b"after\n")
    before, reference, after = (f.content for f in aws.frames() if not isinstance(f.content, Heartbeat))
    assert (before, after) == (Records(b"before\n"), Records(b"after\n"))
    assert isinstance(reference, Reference)
    assert (options.state_directory / "oversize" / reference.key).read_bytes() == large


def test_what_cannot_be_framed_now_is_kept_and_tried_again(
    aws: Kinesis, options: ShipOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = Framer.send, iter([MemoryError(), MemoryError()])

    def out_of_memory_twice(self: Framer, batch: Batch) -> None:
        if error := next(failures, None):
            raise error
        send(self, batch)

    monkeypatch.setattr(Framer, "send", out_of_memory_twice)
    with Shipping(options) as shipping, Heard("wait to be framed") as heard:
        shipping.write(b"kept\n")
        heard.wait()
    assert aws.lines() == b"kept\n"


def test_an_input_that_breaks_ends_like_one_that_ends(aws: Kinesis, options: ShipOptions, tmp_path: Path) -> None:
    """A folder can be opened and polled, and not be read."""
    with Shipping(options, _pipe=(os.open(tmp_path, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY))) as shipping:
        shipping.wait()
    assert [type(frame.content) for frame in aws.frames()] == [Heartbeat, Heartbeat]


def test_a_pipe_that_somebody_made_nonblocking_has_not_ended(
    aws: Kinesis, options: ShipOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other holders can do that at any time; poll may also wake for nothing."""
    read, failures = os.read, iter([BlockingIOError(), BlockingIOError()])
    reading, writing = os.pipe()

    def spurious(descriptor: int, size: int) -> bytes:
        if descriptor == reading and (error := next(failures, None)):
            raise error
        return read(descriptor, size)

    monkeypatch.setattr("os.read", spurious)
    with Shipping(options, _pipe=(reading, writing)) as shipping:
        shipping.write(b"one\n")
    assert next(failures, None) is None
    assert aws.lines() == b"one\n"


def test_a_closed_input_is_said_and_no_file_of_ours_is_read_in_its_place(options: ShipOptions) -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(SettingError, match="standard input is not open"):
        run(options, descriptor)
