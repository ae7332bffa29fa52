"""`vaultwatch search`: finds a record again by the text that a notification shows."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
import zstandard
from moto import mock_aws

from vaultwatch.aws import keys
from vaultwatch.cli import main

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2" / "generate-root"
REQUEST_ID = "5ef8e447-9938-afcc-3b1a-dbccc6979745"
MOMENT = datetime(2026, 11, 21, 7, 29, 41, tzinfo=UTC)


class Ran(NamedTuple):
    status: int
    out: bytes
    err: str


Search = Callable[..., Ran]


@pytest.fixture
def search(capfdbinary: pytest.CaptureFixture[bytes]) -> Search:
    def run(*arguments: object) -> Ran:
        status = main(["search", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return Ran(status, out, err.decode())

    return run


def test_a_log_that_cannot_be_opened_is_not_counted(search: Search, tmp_path: Path) -> None:
    ran = search(REQUEST_ID, tmp_path / "nowhere")
    assert (ran.status, ran.err) == (2, f"vaultwatch: {tmp_path}/nowhere: No such file or directory\n")


def test_both_entries_of_a_request_are_found_by_its_id(search: Search) -> None:
    logged = [line for line in (RECORDING / "audit.jsonl").read_bytes().splitlines() if REQUEST_ID.encode() in line]
    assert search(REQUEST_ID, RECORDING / "audit.jsonl") == (
        0,
        b"\n".join(logged) + b"\n",
        "2 lines found, 1 log searched\n",
    )


def test_a_folder_is_searched_with_all_files_below_it_compressed_or_not(search: Search, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "audit").write_bytes(b"the newest wanted one")
    (tmp_path / "archive" / "audit-1.zst").write_bytes(zstandard.compress(b"other\nan older wanted one\n"))
    (tmp_path / "archive" / "audit-0.gz").write_bytes(gzip.compress(b"the oldest wanted one\n"))
    found = search("wanted", tmp_path)
    assert found.out == b"the oldest wanted one\nan older wanted one\nthe newest wanted one\n"
    assert (found.status, found.err) == (0, "3 lines found, 3 logs searched\n")


def test_lines_that_continue_a_message_are_printed_with_it(search: Search, tmp_path: Path) -> None:
    log = tmp_path / "messages"
    log.write_bytes(b"[ERROR] core: wanted:\n  error=\n  | first\n  \n[INFO] core: other\n  | not of it\n")
    assert search("wanted", log).out == b"[ERROR] core: wanted:\n  error=\n  | first\n  \n"


def test_nothing_found_is_status_1(search: Search, tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(b"other\n")
    assert search("wanted", tmp_path / "audit") == (1, b"", "0 lines found, 1 log searched\n")


def test_an_empty_log_is_an_error_unless_it_is_one_of_a_folder(search: Search, tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(b"")
    found = search("wanted", tmp_path / "audit")
    assert (found.status, found.err.splitlines()[0]) == (
        2, f"vaultwatch: {tmp_path}/audit: there is no log to search: it is empty",
    )  # fmt: skip
    assert search("wanted", tmp_path).status == 1


def test_a_folder_without_a_file_is_an_error(search: Search, tmp_path: Path) -> None:
    said = f"vaultwatch: {tmp_path}: there is no log to search: it has no file\n"
    assert search("wanted", tmp_path) == (2, b"", said)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "log").write_bytes(b"wanted\n")
    assert search("wanted", tmp_path).status == 0


@pytest.mark.parametrize(("place", "command"), [
    ("https://example.org/a", "curl -fsSL https://example.org/a | vaultwatch search 'a b'"),
    ("vaultwatch check", "xz --format=lzma -dc 'vaultwatch check' | vaultwatch search 'a b'"),
])  # fmt: skip
def test_a_command_that_makes_a_log_searches_it(
    search: Search, place: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vaultwatch check").write_bytes(b"]\0\0\x80\0")
    assert search("a b", place).err.endswith(f"{command}\n")


def test_a_damaged_file_is_searched_up_to_the_damage_and_the_others_in_full(search: Search, tmp_path: Path) -> None:
    whole = b"".join(b"wanted %d\n" % number for number in range(1000))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"wanted too\n") + zstandard.compress(whole)[:-9])
    (tmp_path / "b").write_bytes(b"wanted\n")
    found = search("wanted", tmp_path / "a.zst", tmp_path / "none", tmp_path / "b")
    assert (found.status, found.out.splitlines()[0], found.out.splitlines()[-1]) == (2, b"wanted too", b"wanted")
    assert [line.partition(": ")[2] for line in found.err.splitlines()[:2]] == [
        f"{tmp_path}/a.zst: damaged: the file ends within a zstd frame",
        f"{tmp_path}/none: No such file or directory",
    ]


def test_control_characters_reach_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"wanted \x1b]0;title\x07\xff\n")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vaultwatch", "search", "wanted", str(tmp_path / "log")]
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=False).returncode == 0
        os.close(theirs)
        assert terminal.read(1000).strip() == rb"wanted \u001b]0;title\u0007\xff"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["", "audit"], "TEXT: must not be empty"),
        (["wanted", "s3://bucket"], "--time: is required to search an archive on S3"),
        (["wanted", "s3://bucket", "--time", "today"], "--time: `today` is not an RFC 3339 time"),
        (["wanted", "s3://", "--time", "2026-11-21T07:29:41Z"], "s3://: names no bucket"),
        (["wanted", "--time", "2026-11-21T07:29:41Z", "audit"], "--time: is for an archive on S3: no PLACE is one"),
    ],
)
def test_a_wrong_use_is_one_line(search: Search, arguments: list[str], error: str) -> None:
    assert search(*arguments) == (2, b"", f"vaultwatch: {error}\n")


class TestArchive:
    @pytest.fixture(autouse=True)
    def _bucket(self) -> Iterator[None]:
        with mock_aws():
            s3 = boto3.client("s3")
            s3.create_bucket(Bucket="vault-archive", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            for sequence, minutes in enumerate((-90, -30, 30), 1):
                first = MOMENT + timedelta(minutes=minutes)
                body = zstandard.compress(f"wanted, {minutes} minutes\n".encode())
                s3.put_object(Bucket="vault-archive", Key=keys.segment("audit", "vault-1", sequence, first), Body=body)
            yield

    def test_only_the_segment_that_covers_the_time_is_read(self, search: Search) -> None:
        found = search("wanted", "s3://vault-archive", "--time", MOMENT.isoformat())
        assert found == (0, b"wanted, -30 minutes\n", "1 line found, 1 log searched\n")

    def test_an_unknown_bucket_is_one_line(self, search: Search) -> None:
        found = search("wanted", "s3://elsewhere", "--time", MOMENT.isoformat())
        assert found.status == 2
        assert found.err.startswith("vaultwatch: s3://elsewhere: ListObjectsV2: NoSuchBucket")

    def test_a_damaged_segment_is_named(self, search: Search) -> None:
        key = keys.segment("server", "vault-1", 1, MOMENT)
        boto3.client("s3").put_object(Bucket="vault-archive", Key=key, Body=b"no zstd")
        found = search("wanted", "s3://vault-archive", "--time", MOMENT.isoformat())
        assert (found.status, found.out) == (2, b"wanted, -30 minutes\n")
        assert f"vaultwatch: s3://vault-archive/{key}: damaged" in found.err
