"""`vaultwatch search`: finds a record again by the text that a notification shows."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
from base64 import b64encode
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


def test_an_entry_continues_no_message(search: Search, tmp_path: Path) -> None:
    (log := tmp_path / "configmap.yaml").write_bytes(b'data:\n    {"a": "wanted"}\n    {"a": "other"}\n')
    assert search("wanted", log).out == b'    {"a": "wanted"}\n'


ENTRIES = (RECORDING / "audit.jsonl").read_text().splitlines()
EVENTS = [{"timestamp": 1, "message": entry} for entry in ENTRIES]


@pytest.mark.parametrize(
    "log",
    [
        json.dumps({"events": EVENTS, "nextForwardToken": "f/1"}),
        json.dumps({"events": EVENTS * 8, "nextForwardToken": "f/1"}, indent=4),
        "".join(f"{json.dumps({'log': entry, 'stream': 'stdout'})}\n" for entry in ENTRIES),
        "".join(f"{json.dumps({'data': b64encode(entry.encode()).decode()})}\n" for entry in ENTRIES),
        "".join(json.dumps({"time": 1, "event": entry}) for entry in ENTRIES),
        "a,line\n" + "".join('1,"{}"\n'.format(entry.replace('"', '""')) for entry in ENTRIES),
        "\r".join(ENTRIES),
        "".join(ENTRIES),
    ],
    ids=["one line", "pretty", "docker", "base64", "HEC", "CSV", "CR", "joined"],
)
def test_what_is_printed_of_an_envelope_is_the_entry(search: Search, log: str, tmp_path: Path) -> None:
    (file := tmp_path / "log").write_bytes(log.encode())
    assert search("nowhere", file) == (1, b"", "0 lines found, 1 log searched\n")
    wanted = [entry for entry in ENTRIES if REQUEST_ID in entry]
    found = search(REQUEST_ID, file)
    assert sorted(set(found.out.decode().splitlines())) == sorted(wanted)
    assert (found.status, found.err) == (0, f"{found.out.count(b'}' + bytes([10]))} lines found, 1 log searched\n")


@pytest.mark.parametrize("wanted", ["a/b", "a<b", "x-y"])
def test_a_text_that_json_escapes_is_found(search: Search, wanted: str, tmp_path: Path) -> None:
    entry = json.dumps({"request": {"path": wanted}, "type": "request"})
    (log := tmp_path / "log").write_text(json.dumps({"log": entry}).replace("/", "\\/").replace("<", "\\u003c") + "\n")
    assert search(wanted, log).out.decode().splitlines() == [entry]
    assert search("nowhere", log).status == 1


@pytest.mark.parametrize("cut", [1, 18, 35])
def test_a_text_that_a_shipper_has_cut_is_found(search: Search, cut: int, tmp_path: Path) -> None:
    request = {"id": "r1", "operation": "read", "data": {"a": "x" * 900}, "path": REQUEST_ID}
    entry = json.dumps({"time": "2026-11-21T07:29:41Z", "type": "request", "request": request})
    at = entry.index(REQUEST_ID) + cut
    parts = [(entry.replace(REQUEST_ID, "other"), True)] * 80 + [(entry[:at], False), (entry[at:], True)]
    lines = (f"{json.dumps({'frag': part, 'last': is_last})}\n" for part, is_last in parts)
    (log := tmp_path / "log").write_text("".join(lines))
    assert search(REQUEST_ID, log).out.decode().splitlines() == [entry]


def test_a_message_of_an_envelope_has_all_its_lines(search: Search, tmp_path: Path) -> None:
    message = "2026-03-01T10:00:00.123Z [ERROR] core: wanted:\n  error=\n  | first\n  \n"
    other = "2026-03-01T10:00:00.124Z [INFO]  core: other\n"
    lines = (message + other).splitlines(keepends=True)
    (log := tmp_path / "log").write_text("".join(f"{json.dumps({'log': line})}\n" for line in lines))
    found = search("wanted", log)
    assert (found.out.decode().rstrip(), found.err[:12]) == (message.rstrip(), "1 line found")


def test_a_text_beside_records_is_found_too(search: Search, tmp_path: Path) -> None:
    lines = [f"{json.dumps({'log': entry, 'pod': f'vault-{number}'})}\n" for number, entry in enumerate(ENTRIES)]
    (log := tmp_path / "log").write_text("".join(lines))
    assert search("vault-3", log) == (0, lines[3].encode(), "1 line found, 1 log searched\n")


TRUNCATED = "the file ends within a compressed stream"


def test_a_rejected_line_is_found_beside_records(search: Search, tmp_path: Path) -> None:
    lines = [f"{json.dumps({'log': entry})}\n" for entry in ENTRIES] + [f"cut off {{{REQUEST_ID}\n"]
    (log := tmp_path / "log").write_text("".join(lines))
    assert search(REQUEST_ID, log).out.splitlines()[2:] == [f"cut off {{{REQUEST_ID}".encode()]


def test_a_log_whose_lines_are_no_records_has_a_hint(search: Search, tmp_path: Path) -> None:
    (log := tmp_path / "log").write_text("".join(f"{b64encode(entry.encode()).decode()}\n" for entry in ENTRIES))
    found = search(REQUEST_ID, log)
    assert (found.status, found.out) == (1, b"")
    hint, closing = found.err.splitlines()
    said = f"vaultwatch: {log}: its lines are no records: no JSON object in the line; it is in base64: "
    assert hint.startswith(f"{said}cat {log} | python3 -c ")
    assert hint.endswith(f" | vaultwatch search {REQUEST_ID}")
    assert closing == "0 lines found, 1 log searched"
    assert len(search(REQUEST_ID, tmp_path).err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "ab" * 16,
            "search for the alert's event_key; if the event_key is 64 hexadecimal digits, no log has that either",
        ),
        ("ab" * 32, "search for the alert's time"),
    ],
)
def test_what_no_log_has_is_said_of_an_id(search: Search, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(b"other\n")
    found = search(text, tmp_path / "audit")
    assert found.status == 1
    assert says in found.err.splitlines()[-1]
    (tmp_path / "audit.alert").write_text(f'{{"id":"{text}"}}\n')
    assert search(text, tmp_path) == (0, f'{{"id":"{text}"}}\n'.encode(), "1 line found, 2 logs searched\n")


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


def test_a_damaged_envelope_too(search: Search, tmp_path: Path) -> None:
    text = json.dumps({"events": EVENTS}, indent=1)
    (log := tmp_path / "a.gz").write_bytes(gzip.compress(text[: text.rindex(REQUEST_ID) + 100].encode())[:-9])
    found = search(REQUEST_ID, log)
    assert (found.status, found.err.splitlines()[0]) == (2, f"vaultwatch: {log}: damaged: {TRUNCATED}")
    assert REQUEST_ID.encode() in found.out


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
