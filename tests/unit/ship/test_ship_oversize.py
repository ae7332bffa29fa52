"""Lines too large for a record are stored whole, in S3 or in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import boto3
import pytest

from tests.support.kinesis import Kinesis
from tests.support.shipping import FAST
from tests.support.waiting import Logged
from vaultwatch.frames import Reference
from vaultwatch.ship.framing import OversizeStore
from vaultwatch.ship.oversize import BucketStore, FolderStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LARGE = bytearray(os.urandom(100_000) + b"\n")
SHA256 = hashlib.sha256(LARGE).hexdigest()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kinesis]:
    with Kinesis() as kinesis:
        monkeypatch.setenv("AWS_ENDPOINT_URL", kinesis.url)
        yield kinesis


def in_thread(store: OversizeStore) -> Future[Reference]:
    """Store the large line in a thread, which blocks until it can."""
    kept: Future[Reference] = Future()
    Thread(target=lambda: kept.set_result(store.keep(LARGE, NOON)), daemon=True).start()
    return kept


def make_bucket(name: str) -> None:
    with closing(boto3.client("s3")) as s3:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def content(bucket: str, key: str) -> bytes:
    with closing(boto3.client("s3")) as s3:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_the_line_is_in_the_bucket_under_its_day_and_sha256(aws: Kinesis) -> None:
    make_bucket("whole-lines")
    with closing(BucketStore("whole-lines", FAST)) as store:
        reference = store.keep(LARGE, NOON)
    assert reference == Reference(
        "whole-lines", f"oversize/dt=2026-11-21/{SHA256}", len(LARGE), LARGE.count(b"\n"), SHA256
    )
    assert content("whole-lines", reference.key) == LARGE


def test_a_missing_bucket_is_waited_for(aws: Kinesis) -> None:
    with closing(BucketStore("late-bucket", FAST)) as store, Logged("NoSuchBucket") as logged:
        kept = in_thread(store)
        logged.wait()
        assert not kept.done()
        make_bucket("late-bucket")
        assert kept.result(10).bucket == "late-bucket"


def test_without_a_bucket_the_line_is_in_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = FolderStore(tmp_path / "oversize", FAST)
    reference = store.keep(LARGE, NOON)
    assert reference == Reference("", SHA256, len(LARGE), LARGE.count(b"\n"), SHA256)
    kept = tmp_path / "oversize" / SHA256
    assert kept.read_bytes() == LARGE
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "set --oversize-bucket" in caplog.text
    assert store.keep(LARGE, NOON) == reference
    assert list((tmp_path / "oversize").iterdir()) == [kept]


def test_a_full_directory_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "older").write_bytes(b"x" * 50_000)
    with Logged("reading is paused until this is fixed") as logged:
        kept = in_thread(FolderStore(tmp_path, FAST, max_bytes=120_000))
        logged.wait()
        assert not kept.done()
        (tmp_path / "older").unlink()
        assert kept.result(10).key == SHA256


def test_a_directory_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "oversize").write_text("a file where the folder should be")
    with Logged("File exists") as logged:
        kept = in_thread(FolderStore(tmp_path / "oversize", FAST))
        logged.wait()
        (tmp_path / "oversize").unlink()
        assert kept.result(10).key == SHA256


def test_the_same_lines_again_need_no_room(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, FAST, max_bytes=120_000)
    first = store.keep(LARGE, NOON)
    assert in_thread(store).result(10) == first


def test_a_file_is_synchronised_before_anything_refers_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    FolderStore(tmp_path, FAST).keep(LARGE, NOON)
    assert synced == [len(LARGE)]
