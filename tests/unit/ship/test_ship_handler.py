"""The handler as a whole: the lines of the pipe arrive on the stream."""

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

from tests.support.exposition import read_metrics, value
from tests.support.kinesis import Kinesis
from tests.support.shipping import FAST, Shipping
from tests.support.waiting import Logged
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
def test_lines_arrive_byte_for_byte_whatever_they_contain(aws: Kinesis, options: ShipOptions, source: str) -> None:
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


def test_a_single_line_is_sent_on_time(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(options) as shipping:
        shipping.write(b"lone\n")
        aws.wait_for(lambda: aws.lines() == b"lone\n")


def test_heartbeats_are_sent_without_lines_too(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(replace(options, pace=replace(FAST, heartbeat_seconds=0.02))):
        aws.wait_for(lambda: len(aws.frames()) >= 4)
    assert {type(frame.content) for frame in aws.frames()} == {Heartbeat}


def test_a_server_message_that_arrives_in_pieces_is_sent_in_one_piece(aws: Kinesis, options: ShipOptions) -> None:
    """How many messages a frame contains depends on timing; where it starts and ends does not."""
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


def test_an_oversize_line_keeps_its_position_even_without_a_bucket(aws: Kinesis, options: ShipOptions) -> None:
    large = os.urandom(1_100_000).replace(b"\n", b".") + b"\n"
    with Shipping(options) as shipping:
        shipping.write(b"before\n" + large + b"after\n")
    before, reference, after = (f.content for f in aws.frames() if not isinstance(f.content, Heartbeat))
    assert (before, after) == (Records(b"before\n"), Records(b"after\n"))
    assert isinstance(reference, Reference)
    assert (options.state_directory / "oversize" / reference.key).read_bytes() == large


def test_a_batch_that_cannot_be_framed_is_kept_and_retried(
    aws: Kinesis, options: ShipOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = Framer.send, iter([MemoryError(), MemoryError()])

    def out_of_memory_twice(self: Framer, batch: Batch) -> None:
        if error := next(failures, None):
            raise error
        send(self, batch)

    monkeypatch.setattr(Framer, "send", out_of_memory_twice)
    with Shipping(options) as shipping, Logged("wait to be framed") as logged:
        shipping.write(b"kept\n")
        logged.wait()
    assert aws.lines() == b"kept\n"


def test_an_input_that_fails_ends_like_one_that_ends(aws: Kinesis, options: ShipOptions, tmp_path: Path) -> None:
    """A directory can be opened and polled, but not read."""
    with Shipping(options, pipe=(os.open(tmp_path, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY))) as shipping:
        shipping.wait()
    assert [type(frame.content) for frame in aws.frames()] == [Heartbeat, Heartbeat]


def test_a_pipe_that_was_made_non_blocking_has_not_ended(
    aws: Kinesis, options: ShipOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes that have it open can do that at any time; poll may also wake up without a reason."""
    read, failures = os.read, iter([BlockingIOError(), BlockingIOError()])
    reading, writing = os.pipe()

    def spurious(descriptor: int, size: int) -> bytes:
        if descriptor == reading and (error := next(failures, None)):
            raise error
        return read(descriptor, size)

    monkeypatch.setattr("os.read", spurious)
    with Shipping(options, pipe=(reading, writing)) as shipping:
        shipping.write(b"one\n")
    assert next(failures, None) is None
    assert aws.lines() == b"one\n"


def test_a_closed_input_is_an_error_and_no_other_file_is_read_in_its_place(options: ShipOptions) -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(SettingError, match="standard input is not open"):
        run(options, descriptor)


def test_the_metrics_say_what_was_received_and_what_kinesis_accepted(aws: Kinesis, options: ShipOptions) -> None:
    file = Path(str(options.state)) / "audit.prom"
    with Shipping(replace(options, metrics=file)) as shipping:
        shipping.write(b"@prod/vault-1/file one\n@prod/vault-1/file two\nthree\n")
    found = read_metrics(file.read_bytes())
    assert value(found, "vaultwatch_lines_total", command="ship", node="vault-1", lane="file") == 2
    assert value(found, "vaultwatch_frames_sent_total") == len(aws.frames())
    assert value(found, "vaultwatch_send_failures_total") == 0
    assert value(found, "vaultwatch_frames_unsent_bytes") == 0
    assert value(found, "vaultwatch_running") == 0
