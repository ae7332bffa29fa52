"""Kinesis is unavailable or denies access: reading stops in time, the handler keeps running, and nothing is lost."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from tests.support.kinesis import Answered, Kinesis, Silent
from tests.support.shipping import FAST, Shipping, start
from tests.support.waiting import HUNG_SECONDS, Logged
from vaultwatch.frames import Heartbeat, Records, Reference
from vaultwatch.ship import ShipOptions

BUCKET = "oversize-lines"


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
        client.create_stream(StreamName=name, ShardCount=1)
    return ShipOptions("audit", name, state=tmp_path / "state", log_file=tmp_path / "ship.log", pace=FAST)


def make_bucket() -> None:
    with closing(boto3.client("s3")) as s3:
        if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def noise_line(size: int, seed: int) -> bytes:
    """Return a line that cannot be compressed: as many bytes on the stream as in the log."""
    return b"@prod/vault-1/file " + random.Random(seed).randbytes(size).replace(b"\n", b".") + b"\n"


@contextmanager
def running(options: ShipOptions) -> Iterator[subprocess.Popen[bytes]]:
    process = start(options)
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(HUNG_SECONDS) == 0


def fill(process: subprocess.Popen[bytes], lines: Iterator[bytes]) -> tuple[list[bytes], bytes]:
    """Write lines until the pipe has accepted none for a second; return them, and the rest of the last one."""
    assert process.stdin is not None
    descriptor, rest = process.stdin.fileno(), b""
    written: list[bytes] = []
    os.set_blocking(descriptor, False)
    while not written or select.select([], [descriptor], [], 1.0)[1]:
        if not rest:
            written.append(next(lines))
        rest = rest or written[-1]
        rest = rest[os.write(descriptor, rest) :]
    os.set_blocking(descriptor, True)
    return written, rest


def peak_mebibytes(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_while_kinesis_is_unavailable_reading_stops_and_memory_stays_bounded(
    aws: Kinesis, options: ShipOptions
) -> None:
    """The backlog stays in the pipe, and therefore in syslog-ng's disk buffer, until Kinesis is back."""
    aws.fault = lambda call: Answered("ServiceUnavailable", 503)
    lines = (noise_line(50_000, seed) for seed in range(10**6))
    with running(options) as process:
        assert process.stdin is not None
        aws.wait_for(lambda: aws.calls)
        written, rest = fill(process, lines)
        assert len(b"".join(written)) < 16 * 2**20
        assert peak_mebibytes(process) < 256
        aws.fault = lambda call: None
        process.communicate(rest, timeout=HUNG_SECONDS)
        assert process.returncode == 0
    assert aws.lines() == b"".join(written)


def test_a_line_of_64_mebibytes_passes_within_256_mebibytes_of_memory(aws: Kinesis, options: ShipOptions) -> None:
    make_bucket()
    large = b"@prod/vault-1/file " + b"x" * (64 * 2**20) + b"\n"
    patient = replace(FAST, read_timeout_seconds=30.0)  # a busy machine takes seconds to store so much
    with running(replace(options, oversize_bucket=BUCKET, pace=patient)) as process:
        assert process.stdin is not None
        process.stdin.write(b"small\n" + large + b"small\n")
        aws.wait_for(lambda: any(isinstance(frame.content, Reference) for frame in aws.frames()))
        assert peak_mebibytes(process) < 256
        finish(process)
    contents = [frame.content for frame in aws.frames() if not isinstance(frame.content, Heartbeat)]
    assert [type(content) for content in contents] == [Records, Reference, Records]
    assert isinstance(contents[1], Reference)
    with closing(boto3.client("s3")) as s3:
        assert s3.get_object(Bucket=BUCKET, Key=contents[1].key)["Body"].read() == large


def test_a_refused_connection_is_retried_until_the_server_listens_again(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(options) as shipping:
        shipping.write(b"before\n")
        aws.wait_for(lambda: aws.lines() == b"before\n")
        with Logged("EndpointConnectionError") as logged:
            aws.__exit__()
            shipping.write(b"meanwhile\n")
            logged.wait()
        with Logged("Kinesis accepts frames again") as logged:
            aws.__enter__()
            logged.wait()
        shipping.write(b"after\n")
    assert aws.lines() == b"before\nmeanwhile\nafter\n"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "ResourceNotFoundException"])
def test_a_permanent_failure_is_logged_and_retried_until_it_is_repaired(
    aws: Kinesis, options: ShipOptions, code: str
) -> None:
    aws.fault = lambda call: Answered(code) if call else None
    with Shipping(options) as shipping, Logged(code) as logged, Logged("Kinesis accepts frames again") as recovered:
        shipping.write(b"one\n")
        logged.wait()
        shipping.write(b"two\n")
        aws.fault = lambda call: None
        recovered.wait()
    assert aws.lines() == b"one\ntwo\n"


def test_credentials_repaired_on_disk_are_used(
    aws: Kinesis, options: ShipOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = OLDKEY\naws_secret_access_key = old-secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Shipping(options) as shipping:
        aws.wait_for(lambda: aws.taken)
        with Logged("AccessDenied") as logged, Logged("Kinesis accepts frames again") as recovered:
            aws.denied_keys.add("OLDKEY")
            shipping.write(b"one\n")
            logged.wait()
            credentials.write_text("[default]\naws_access_key_id = NEWKEY\naws_secret_access_key = new-secret\n")
            recovered.wait()
    assert aws.lines() == b"one\n"
    log = Path(str(options.log_file)).read_text()
    assert "secret" not in log
    assert "OLDKEY" not in log


def test_invalid_settings_are_waited_for_without_reading(aws: Kinesis, options: ShipOptions) -> None:
    name = f"later-{uuid.uuid4()}"
    with Shipping(replace(options, stream=name)) as shipping, Logged("reading is paused until this is fixed") as logged:
        shipping.write(b"one\n")
        logged.wait()
        assert shipping.unread() == len(b"one\n")
        with closing(boto3.client("kinesis")) as client:
            client.create_stream(StreamName=name, ShardCount=1)
        aws.wait_for(lambda: aws.lines() == b"one\n")


def test_with_invalid_settings_an_input_that_ends_empty_is_a_normal_exit(aws: Kinesis, options: ShipOptions) -> None:
    waits = Logged("reading is paused until this is fixed")
    with Shipping(replace(options, stream=f"later-{uuid.uuid4()}")) as shipping, waits as logged:
        logged.wait()
    assert shipping.status == 0


def test_with_invalid_settings_an_input_that_ends_with_lines_is_kept(aws: Kinesis, options: ShipOptions) -> None:
    name = f"later-{uuid.uuid4()}"
    with Shipping(replace(options, stream=name)) as shipping, Logged("reading is paused until this is fixed") as logged:
        logged.wait()
        shipping.write(b"one\n")
        shipping.end()
        with closing(boto3.client("kinesis")) as client:
            client.create_stream(StreamName=name, ShardCount=1)
    assert aws.lines() == b"one\n"


def test_at_the_end_of_the_input_the_handler_waits_for_the_end_of_an_outage(aws: Kinesis, options: ShipOptions) -> None:
    aws.fault = lambda call: Answered("ServiceUnavailable", 503)
    with Shipping(options) as shipping:
        with Logged("end of input") as logged:
            shipping.write(b"one\nlast without newline")
            shipping.end()
            logged.wait()
        aws.fault = lambda call: None
    assert aws.lines() == b"one\nlast without newline"


def test_sigterm_during_an_outage_loses_nothing(aws: Kinesis, options: ShipOptions) -> None:
    """As when syslog-ng is stopped: SIGTERM and the end of the input."""
    aws.fault = lambda call: Answered("ServiceUnavailable", 503)
    with running(options) as process:
        assert process.stdin is not None
        aws.wait_for(lambda: aws.calls)
        process.stdin.write(b"one\n")
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b"two\n")
        process.stdin.close()
        before = len(aws.calls)
        aws.wait_for(lambda: len(aws.calls) > before)
        aws.fault = lambda call: None
        assert process.wait(HUNG_SECONDS) == 0
    assert aws.lines() == b"one\ntwo\n"
    content = aws.frames()[-1].content
    assert isinstance(content, Heartbeat)
    assert content.final


def test_a_kill_loses_only_what_kinesis_had_not_accepted(aws: Kinesis, options: ShipOptions) -> None:
    """Accepted lines are safe; the pipe, the open batch and the outbox are lost with the process, and nothing else."""
    with running(options) as process:
        assert process.stdin is not None
        process.stdin.write(b"accepted\n")
        aws.wait_for(lambda: aws.lines() == b"accepted\n")
        aws.fault = lambda call: Silent(taken=False)
        before = len(aws.calls)
        process.stdin.write(b"lost\n")
        aws.wait_for(lambda: len(aws.calls) > before)
        process.kill()
        process.wait()
    aws.fault = lambda call: None
    with running(options) as process:
        assert process.stdin is not None
        process.stdin.write(b"by the next\n")
        finish(process)
    assert aws.lines() == b"accepted\nby the next\n"
    finals = [frame.content.final for frame in aws.frames() if isinstance(frame.content, Heartbeat)]
    assert finals == [False, False, True], "a killed process sends no final heartbeat, which shows the loss"


def test_a_successor_reads_nothing_while_its_predecessor_drains(aws: Kinesis, options: ShipOptions) -> None:
    """As when syslog-ng reloads: the input of the old handler ends, and the new one starts at once."""
    aws.fault = lambda call: Answered("ServiceUnavailable", 503)
    with Shipping(options) as predecessor:
        with Logged("end of input") as logged:
            predecessor.write(b"old\n")
            predecessor.end()
            logged.wait()
        with Logged("reading is paused while another process holds") as logged, Shipping(options) as successor:
            successor.write(b"new\n")
            logged.wait()
            assert successor.unread() == len(b"new\n")
            aws.fault = lambda call: None
            predecessor.wait()
            aws.wait_for(lambda: aws.lines() == b"old\nnew\n")


def test_another_source_has_a_lock_of_its_own(aws: Kinesis, options: ShipOptions) -> None:
    with Shipping(options) as audit, Shipping(replace(options, source="server")) as server:
        audit.write(b"entry\n")
        server.write(b"2026-11-21T07:29:43.682Z [INFO] core: vault is unsealed\n")
        aws.wait_for(lambda: {f.source for f in aws.frames() if isinstance(f.content, Records)} == {"audit", "server"})
