"""reconcile: both archived copies of an hour are compared a day later, and no hour passes unseen."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zstandard
from botocore.exceptions import ClientError

from tests.support.dynamodb import local_aws, make_client
from tests.support.functions import ARCHIVE, Context, entry, queue_record, start, total, watching
from vaultwatch.archive.follow import Follower
from vaultwatch.archive.upload import Uploads
from vaultwatch.archive.waiting import LOGS, audit_file_log
from vaultwatch.aws.keys import segment
from vaultwatch.aws.metrics import variables
from vaultwatch.reconcile import isolated, rows

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
HOUR = datetime(2026, 11, 21, 7, tzinfo=UTC)
WRITERS = {"audit": "log-server", "audit-file": "vault-1"}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function, in an AWS with an empty archive."""
    given = {"ARCHIVE_BUCKET_NAME": ARCHIVE, "AWS_DEFAULT_REGION": "eu-west-1", **variables("reconcile", "vaultwatch")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with local_aws():
        place: Any = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
        make_client("s3").create_bucket(Bucket=ARCHIVE, **place)
        yield start("reconcile")


def put(source: str, *lines: bytes, number: int = 1, first: datetime = HOUR, body: bytes | None = None) -> str:
    """Archive a segment."""
    key = segment(source, WRITERS[source], number, first)
    content = zstandard.compress(b"".join(line.rstrip(b"\n") + b"\n" for line in lines)) if body is None else body
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=content)
    return key


def copies(socket: list[bytes], file: list[bytes]) -> None:
    """Archive both copies of the hour, and a later segment of each."""
    for source, lines in (("audit", socket), ("audit-file", file)):
        put(source, *lines)
    go_on()


def go_on() -> None:
    """Archive a segment of each copy that begins after the hour."""
    for source in WRITERS:
        put(source, entry(900, time="2026-11-21T08:00:01Z"), number=9, first=HOUR + timedelta(hours=1, seconds=1))


def run(function: ModuleType, body: str = '{"time": "2026-11-22T07:20:00Z"}', seconds: float = 600) -> list[str]:
    """Run the function on a message, and return the messages that are to be delivered again."""
    answer = function.handler({"Records": [queue_record(body)]}, Context(int(1000 * seconds), "1769"))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


class Counted:
    """The metrics of a run."""

    def __init__(self, printed: str) -> None:
        self.reconciled, self.unreconciled = total(printed, "ReconciledHours"), total(printed, "UnreconciledHours")
        self.lacking = {lane: total(printed, "MissingEntries", lane=lane) for lane in ("socket", "file")}
        self.differing = total(printed, "DifferingEntries")
        self.silences = total(printed, "SilentSpans")


def upload(folder: Path, socket: list[bytes], file: list[bytes]) -> None:
    """Let both hosts upload the logs of the hour: one its rotated file, the other that of the audit device."""
    rotated, device = folder / "audit-20261121-080000.zst", folder / "audit.log"
    rotated.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(b"\n".join(socket) + b"\n"))
    device.write_bytes(b"\n".join(file) + b"\n")
    for path in (rotated, device):
        os.utime(path, (HOUR.timestamp() + 3600,) * 2)
    s3 = partial(make_client, "s3")
    assert list(Uploads(s3, ARCHIVE, WRITERS["audit"]).run(folder, LOGS))
    assert list(Follower(s3, ARCHIVE, WRITERS["audit-file"]).run(folder, [audit_file_log(device.name)]))


def recorded(name: str, product: str = "openbao-2.6.2") -> list[bytes]:
    return (RECORDINGS / product / "audit-socket-down" / name).read_bytes().splitlines()


@pytest.mark.parametrize("product", ["openbao-2.6.2", "vault-1.14.2"])
def test_of_a_socket_that_was_down_28_entries_lack_in_one_span(
    function: ModuleType,
    product: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    upload(tmp_path, recorded("audit-socket.jsonl", product), recorded("audit.jsonl", product))
    go_on()
    assert run(function) == []
    found = Counted(capsys.readouterr().out)
    assert (found.lacking, found.differing, found.silences) == ({"socket": 28, "file": 0}, 0, 1)
    assert (found.reconciled, found.unreconciled) == (1, 0)
    said = json.loads(caplog.messages[-1])
    assert said["hour"] == "2026-11-21T07:00:00+00:00"
    missing, log = said["report"]["missing_left"], "\n".join(map(bytes.decode, recorded("audit.jsonl", product)))
    assert (missing["count"], len(missing["entries"])) == (28, 5)
    assert all(one["request_id"] in log for one in missing["entries"])


def test_equal_copies_in_any_segments_are_reconciled(
    function: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before, later = HOUR - timedelta(minutes=20), HOUR + timedelta(minutes=5)
    lines = [entry(number, kind=kind) for number in (1, 2, 3) for kind in ("request", "response")]
    put("audit", *lines, first=before)
    for number, first in enumerate((before, HOUR, later)):
        put("audit-file", *lines[2 * number : 2 * number + 2], number=number + 1, first=first)
    go_on()
    caplog.set_level("INFO")
    assert run(function) == []
    found = Counted(capsys.readouterr().out)
    assert (found.reconciled, found.unreconciled, found.lacking) == (1, 0, {"socket": 0, "file": 0})
    assert [record.levelname for record in caplog.records if record.name == function.__name__] == ["INFO"]


def test_an_entry_that_was_altered_is_named_with_what_differs(
    function: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    copies([entry(1), entry(2)], [entry(1), entry(2, "sys/audit/root")])
    run(function)
    found = Counted(capsys.readouterr().out)
    assert (found.differing, found.lacking) == (1, {"socket": 0, "file": 0})
    [altered] = json.loads(caplog.messages[-1])["report"]["differing"]["entries"]
    assert [change["field"] for change in altered["changes"]] == ["request.path"]


def test_an_entry_that_only_the_log_server_has_lacks_in_the_file(
    function: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    copies([entry(1), entry(2)], [entry(1)])
    run(function)
    assert Counted(capsys.readouterr().out).lacking == {"socket": 0, "file": 1}


def test_only_entries_of_the_hour_are_counted(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    others = [entry(2, time="2026-11-21T06:59:59Z"), entry(3, time="2026-11-21T08:00:00Z")]
    copies([entry(1), *others], [entry(1)])
    run(function)
    assert Counted(capsys.readouterr().out).lacking == {"socket": 0, "file": 0}


@pytest.mark.parametrize("late", [["audit"], ["audit-file"], ["audit", "audit-file"]])
def test_while_a_copy_has_not_come_as_far_the_hour_waits(
    function: ModuleType,
    late: list[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A day in which nothing at all was uploaded is not one in which both copies are equal."""
    copies([entry(1), entry(2)], [entry(1), entry(2)])
    for source in late:
        key = segment(source, WRITERS[source], 9, HOUR + timedelta(hours=1, seconds=1))
        make_client("s3").delete_object(Bucket=ARCHIVE, Key=key)
    assert run(function) == ["message-0"]
    assert capsys.readouterr().out == ""
    named = " and ".join(f"source={source}" for source in late)
    assert caplog.messages[-1] == f"2026-11-21T07:00:00+00:00 waits: {named} has no segment after the hour"


def test_an_empty_archive_is_not_reconciled(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(function) == ["message-0"]
    assert capsys.readouterr().out == ""


def test_an_hour_without_any_entry_is_reconciled(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    copies([], [])
    assert run(function) == []
    assert Counted(capsys.readouterr().out).reconciled == 1


@pytest.mark.parametrize("source", ["audit", "audit-file"])
def test_of_an_hour_with_a_line_that_is_no_entry_it_is_said_that_it_is_not_reconciled(
    function: ModuleType, source: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    copies([entry(1)], [entry(1)])
    put(source, entry(1), b"what was this?")
    assert run(function) == []
    found = Counted(capsys.readouterr().out)
    assert (found.reconciled, found.unreconciled, found.lacking) == (0, 1, {"socket": 0, "file": 0})
    side = "left" if source == "audit" else "right"
    assert json.loads(caplog.messages[-1])["report"][side]["rejected"] == 1


def test_many_damaged_segments_are_counted_and_the_first_are_named(
    function: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    copies([entry(1)], [entry(1)])
    for number in range(20, 40):
        put("audit", number=number, first=HOUR + timedelta(seconds=number), body=b"no zstd")
    run(function)
    said = json.loads(caplog.messages[-1])
    assert (said["unreadable_count"], len(said["unreadable"])) == (20, 5)


def test_of_a_damaged_segment_the_hour_is_not_reconciled_and_what_could_be_read_is_compared(
    function: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    copies([entry(1), entry(2)], [entry(1)])
    damaged = put("audit-file", number=1, body=zstandard.compress(entry(1))[:-4])
    assert run(function) == []
    found = Counted(capsys.readouterr().out)
    assert (found.reconciled, found.unreconciled, found.lacking["socket"]) == (0, 1, 0)
    assert json.loads(caplog.messages[-1])["unreadable"] == {damaged: "cut off: its last zstd frame is incomplete"}


def test_an_hour_for_which_there_is_no_time_is_not_reconciled(
    function: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    copies([entry(1)], [entry(1)])
    assert run(function, seconds=30) == []
    found = Counted(capsys.readouterr().out)
    assert (found.reconciled, found.unreconciled) == (0, 1)
    assert "2026-11-21T07:00:00+00:00 is not reconciled: there was no time left for it" in caplog.messages[-1]


def full_disk(*_line: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (lambda *line: os._exit(0), "it exited with status 0"),
        (lambda *line: os.kill(os.getpid(), signal.SIGKILL), "it was ended by signal 9"),
        (lambda *line: bytes(2 << 30), "it ran out of memory"),
        (full_disk, "it raised OSError in test_reconcile.py"),
    ],
)
def test_an_hour_whose_content_ends_the_comparison_is_not_reconciled(
    function: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ends: Callable[..., Any],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rows, "read_entries", ends)
    copies([entry(1)], [entry(1)])
    assert run(function) == []
    assert Counted(capsys.readouterr().out).unreconciled == 1
    assert f"is not reconciled: {reason}" in caplog.messages[-1]
    assert not list(tmp_path.iterdir())  # or `/tmp` of the function would be full in the end


def test_differences_that_cannot_be_shown_are_counted(
    function: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(isolated, "report", lambda *found: os._exit(0))
    copies([entry(1)], [entry(1), entry(2)])
    assert run(function) == []
    found = Counted(capsys.readouterr().out)
    assert (found.reconciled, found.lacking["socket"]) == (1, 1)
    assert json.loads(caplog.messages[-1])["without_texts"] == "it exited with status 0"


def test_no_text_of_a_log_ends_or_disguises_the_line(
    function: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hostile = "secret/\n\x1b[2J\u2028\u202e\ud800\U0001f512 hvs." + "x" * 40
    copies([entry(1)], [entry(1), entry(2, hostile, principal=hostile)])
    run(function)
    assert Counted(capsys.readouterr().out).lacking["socket"] == 1
    said = caplog.messages[-1]
    assert said.isascii()
    assert said.isprintable()
    assert "hvs.xxx" not in said
    assert json.loads(said)["report"]["missing_left"]["count"] == 1


def test_a_failure_of_s3_is_tried_again(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    copies([entry(1)], [entry(1)])

    def deny(number: int, name: str, made: bool) -> None:
        if name == "S3.GetObject" and not made:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, name)

    with watching(deny), pytest.raises(ClientError, match="AccessDenied"):
        run(function)
    assert capsys.readouterr().out == ""
    assert run(function) == []


def test_a_person_names_the_hour_itself(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    copies([entry(1)], [])
    assert run(function, '{"hour": "2026-11-21T07:00:00Z"}') == []
    assert Counted(capsys.readouterr().out).lacking["file"] == 1


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"hour": "yesterday"}', '{"hour": "2026-11-21T07:00:00"}'])
def test_a_message_that_names_no_hour_is_counted_and_not_tried_again(
    function: ModuleType, body: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run(function, body) == []
    assert Counted(capsys.readouterr().out).unreconciled == 1
    assert caplog.messages[-1].startswith("not the message of an hour: ")
