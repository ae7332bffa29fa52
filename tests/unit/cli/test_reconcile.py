"""`vaultwatch reconcile`: two sides of files, folders and archived segments, and what it says of them."""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import msgspec
import pytest
import zstandard
from moto import mock_aws

from tests.support.exposition import read_metrics, value
from tests.unit.store.alerts import an_alert
from vaultwatch.cli import main

SOCKET_DOWN = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2" / "audit-socket-down"
FILE, SOCKET = SOCKET_DOWN / "audit.jsonl", SOCKET_DOWN / "audit-socket.jsonl"


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Reconcile = Callable[..., Ran]


@pytest.fixture
def reconcile(capfd: pytest.CaptureFixture[str]) -> Reconcile:
    def run(*arguments: object) -> Ran:
        status = main(["reconcile", *map(str, arguments)])
        return Ran(status, *capfd.readouterr())

    return run


def found(ran: Ran) -> Any:
    return json.loads(ran.out)


def test_the_table_says_what_a_side_lacks_and_when_it_was_silent(reconcile: Reconcile) -> None:
    ran = reconcile(FILE, SOCKET, "--limit", 2)
    lines = ran.out.splitlines()
    assert ran.status == 1
    assert lines[:2] == [
        "left:  52 entries of 1 log, 0 more copies, 0 lines without an audit entry, 0 entries compared in part",
        "right: 24 entries of 1 log, 0 more copies, 0 lines without an audit entry, 0 entries compared in part",
    ]
    assert "on both sides: 24" in lines
    assert any(line.startswith("missing on the right: 28, 2026-11-21T") for line in lines)
    assert "  and 26 more" in lines
    assert [line.split("while")[1] for line in lines if line.startswith("  right")] == [
        " the other side has 28 entries"
    ]
    assert lines[-1] == "NOT equal"


def test_the_same_is_status_0(reconcile: Reconcile) -> None:
    ran = reconcile(FILE, FILE, "--format", "json")
    assert (ran.status, found(ran)["equal"], found(ran)["common"]) == (0, True, 52)


def test_each_side_can_be_several_files_compressed_or_not_and_folders(reconcile: Reconcile, tmp_path: Path) -> None:
    lines = FILE.read_bytes().splitlines(True)
    (tmp_path / "archive").mkdir()
    (tmp_path / "audit.log").write_bytes(b"".join(lines[30:]))
    (tmp_path / "archive" / "audit.log-1.zst").write_bytes(zstandard.compress(b"".join(lines[:30])))
    (tmp_path / "audit.log-2.archived").touch()
    (tmp_path / ".audit.log.uploads.json").write_text("{}")
    assert reconcile(tmp_path, FILE).status == 0
    assert reconcile(tmp_path / "audit.log", tmp_path / "archive", "--against", FILE).status == 0
    assert reconcile(FILE, "--against", tmp_path / "audit.log", tmp_path / "archive").status == 0


def test_alerts_of_vaultwatch_in_a_folder_are_no_entries(reconcile: Reconcile, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(FILE.read_bytes())
    (tmp_path / "audit.alert").write_bytes(msgspec.json.encode(an_alert()) + b"\n")
    ran = reconcile(tmp_path, FILE)
    assert (ran.status, ran.err) == (
        0,
        f"{tmp_path}: left out, because vaultwatch wrote it: {tmp_path}/audit.alert (alerts)\n",
    )
    assert reconcile(tmp_path / "audit.log", tmp_path / "audit.alert", "--against", FILE).status == 1


def test_a_window_leaves_out_what_one_side_does_not_have_yet(reconcile: Reconcile) -> None:
    ran = reconcile(FILE, SOCKET, "--from", "2026-11-21T07:29:44.5Z", "--format", "json")
    assert (ran.status, found(ran)["complete"], found(ran)["common"]) == (0, True, 24)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a", "b", "c"), "more than two places: put --against between both sides"),
        (("a",), "name a LEFT and a RIGHT"),
        (("a", "--against"), "name a LEFT and a RIGHT"),
        (("a", "--against", "b", "--against", "c"), "--against is given twice"),
        (("a", "-"), "stdin cannot be read twice: name a file"),
        (
            ("a", "b", "--from", "monday"),
            "--from: `monday` is not a time such as 2026-11-21T07:29:43Z, 2026-11-21 or 2h (ago)",
        ),
        (
            ("a", "b", "--from", "2026-11-22T00:00:00Z", "--until", "2026-11-21T00:00:00Z"),
            "--until: 2026-11-21T00:00:00Z is not after --from 2026-11-22T00:00:00Z",
        ),
        (
            ("a", "b", "--ignore", "auth.accesor"),
            "--ignore: unknown field auth.accesor: no audit record has it; did you mean `auth.accessor`?",
        ),
        (("a", "b", "--ignore", "outcome"), "--ignore: unknown field outcome: no audit entry has it"),
        (("s3://", "b"), "s3://: names no bucket"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(reconcile: Reconcile, arguments: tuple[str, ...], error: str) -> None:
    ran = reconcile(*arguments)
    assert (ran.status, ran.out, ran.err) == (2, "", f"vaultwatch: {error}\n")


def test_a_side_of_another_log_is_refused(reconcile: Reconcile) -> None:
    ran = reconcile(FILE, SOCKET_DOWN / "server.log")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("vaultwatch: the right side has no audit entry, but ")


def test_two_empty_sides_are_not_equal_but_no_comparison(reconcile: Reconcile, tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    ran = reconcile(tmp_path / "audit", tmp_path / "audit")
    assert (ran.status, ran.out, ran.err) == (2, "", "vaultwatch: nothing was compared: neither side has an entry\n")


def test_a_time_in_which_neither_side_has_an_entry_is_no_comparison(reconcile: Reconcile, tmp_path: Path) -> None:
    metrics = tmp_path / "reconcile.prom"
    ran = reconcile(FILE, FILE, "--from", "2030-01-01T00:00:00Z", "--metrics", metrics)
    error = "vaultwatch: nothing was compared: neither side has an entry in this time\n"
    assert (ran.status, ran.out, ran.err) == (2, "", error)
    assert not metrics.exists()


@pytest.mark.parametrize(("sides", "name"), [((FILE, "none"), "right"), (("none", FILE), "left")])
def test_a_side_that_cannot_be_read_is_no_comparison(
    reconcile: Reconcile, tmp_path: Path, sides: tuple[object, object], name: str
) -> None:
    metrics = tmp_path / "reconcile.prom"
    ran = reconcile(*sides, "--metrics", metrics)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "vaultwatch: none: No such file or directory",
        f"vaultwatch: nothing was compared: no entry of the {name} side could be read",
    ]
    assert not metrics.exists()


@pytest.mark.parametrize("field", ["auth.accessor", "auth", "request.namespace", "response.data.keys", "error"])
def test_a_field_that_is_not_compared_is_one_of_audit_entries_or_an_object_of_some(
    reconcile: Reconcile, field: str
) -> None:
    assert reconcile(FILE, FILE, "--ignore", field).status == 0


def test_an_empty_side_lacks_everything(reconcile: Reconcile, tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    assert found(reconcile(FILE, tmp_path / "audit", "--format", "json"))["missing_right"]["count"] == 52


def test_a_log_that_cannot_be_read_to_its_end_is_named_once_and_status_2(reconcile: Reconcile, tmp_path: Path) -> None:
    cut = tmp_path / "a\x1b[2J.zst"
    cut.write_bytes(zstandard.compress(FILE.read_bytes()) + zstandard.compress(b"cut")[:-1])
    ran = reconcile(cut, FILE)
    assert ran.status == 2
    assert ran.err.splitlines() == [
        f"vaultwatch: {tmp_path}/a\\u001b[2J.zst: damaged: the file ends within a zstd frame"
    ]


def test_an_incomplete_comparison_says_so_first_and_gives_no_verdict(reconcile: Reconcile, tmp_path: Path) -> None:
    lines, cut = FILE.read_bytes(), tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(lines)[:-4])  # all of the entries can be read, but not the checksum behind them
    ran = reconcile(cut, FILE)
    first, *_, last = ran.out.splitlines()
    assert (ran.status, last) == (2, "no verdict: INCOMPLETE")
    assert first.startswith("INCOMPLETE: 1 log could not be read to their end; ")
    assert first.endswith("; entries that were not read are counted as missing")
    in_json = reconcile(cut, FILE, "--format", "json")
    assert in_json.out.startswith('{"complete":false,"equal":false,')
    assert found(in_json)["missing_left"]["count"] == 0


def test_what_differs_is_not_equal_however_much_could_not_be_read(reconcile: Reconcile, tmp_path: Path) -> None:
    altered = FILE.read_bytes().replace(b'"type":"response"', b'"type":"response","error":"x"', 1)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(altered)[:-4])
    first, *_, last = reconcile(cut, FILE).out.splitlines()
    assert (first.split(":")[0], last) == ("INCOMPLETE", "NOT equal, and INCOMPLETE")
    in_json = found(reconcile(cut, FILE, "--format", "json"))
    assert (in_json["complete"], in_json["equal"], in_json["differing"]["count"]) == (False, False, 1)


def test_texts_from_a_log_cannot_move_the_cursor(reconcile: Reconcile, tmp_path: Path) -> None:
    hostile = '{"type":"request","request":{"id":"\\u001b[2J","path":"\\u202egnp.exe\\n"},"error":"\\u0007"}\n'
    (tmp_path / "audit").write_text(hostile)
    ran = reconcile(FILE, tmp_path / "audit")
    assert ran.out.isascii()
    assert all(line.isprintable() for line in ran.out.splitlines())
    assert "\\u001b[2J" in ran.out


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="archive")
        for source, file in (("audit-file", FILE), ("audit", SOCKET)):
            for day in (20, 21):
                key = f"archive/source={source}/node=n/dt=2026-11-{day}/hour=07/0000000{day}-202611{day}T072941.zst"
                body = zstandard.compress(file.read_bytes() if day == 21 else b"")
                s3.put_object(Bucket="archive", Key=key, Body=body)
        yield s3


def test_archived_segments_are_read_from_s3(reconcile: Reconcile, bucket: Any) -> None:
    sides = ("s3://archive/archive/source=audit-file/", "--against", "s3://archive/archive/source=audit/")
    everything = reconcile(*sides, "--format", "json")
    assert (everything.status, found(everything)["missing_right"]["count"], found(everything)["left"]["logs"]) == (
        1,
        28,
        2,
    )
    window = ("--from", "2026-11-21T07:29:44.5Z", "--until", "2026-11-22T00:00:00Z")
    assert reconcile(*sides, *window).status == 0


def test_a_missing_prefix_or_bucket_is_status_2(reconcile: Reconcile, bucket: Any) -> None:
    assert reconcile("s3://archive/none/", FILE).err == "vaultwatch: s3://archive/none/: no log is there\n"
    assert reconcile("s3://another", FILE).status == 2


def test_the_metrics_have_what_a_monitoring_needs_and_are_written_whatever_was_found(
    reconcile: Reconcile, tmp_path: Path
) -> None:
    file = tmp_path / "reconcile.prom"
    assert reconcile(FILE, SOCKET, "--metrics", file).status == 1
    metrics = read_metrics(file.read_bytes())
    assert value(metrics, "vaultwatch_reconcile_missing_entries", side="left") == 0
    assert value(metrics, "vaultwatch_reconcile_missing_entries", side="right") == 28
    assert value(metrics, "vaultwatch_reconcile_entries", side="left") == 52
    assert value(metrics, "vaultwatch_reconcile_differing_entries") == 0
    assert value(metrics, "vaultwatch_reconcile_complete") == 1
    assert abs(value(metrics, "vaultwatch_reconcile_timestamp_seconds") - file.stat().st_mtime) < 60


def test_metrics_of_logs_that_cannot_be_read_to_their_end_say_so(reconcile: Reconcile, tmp_path: Path) -> None:
    cut, file = tmp_path / "cut.zst", tmp_path / "reconcile.prom"
    cut.write_bytes(zstandard.compress(FILE.read_bytes()) + zstandard.compress(b"cut")[:-1])
    assert reconcile(FILE, cut, "--metrics", file).status == 2
    assert value(read_metrics(file.read_bytes()), "vaultwatch_reconcile_complete") == 0


def test_a_comparison_that_cannot_run_leaves_the_metrics_of_the_last_one(reconcile: Reconcile, tmp_path: Path) -> None:
    file, other = tmp_path / "reconcile.prom", tmp_path / "server.log"
    file.write_text("# HELP vaultwatch_before")
    other.write_text("no audit entry\n")
    assert reconcile(FILE, other, "--metrics", file).status == 2
    assert file.read_text() == "# HELP vaultwatch_before"
    ran = reconcile(FILE, FILE, "--metrics", tmp_path / "no" / "such")
    assert (ran.status, "--metrics: " in ran.err) == (2, True)


def test_a_file_with_something_else_than_metrics_is_left_as_it_is(reconcile: Reconcile, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(FILE.read_bytes())
    assert reconcile(log, SOCKET, "--metrics", log).status == 2
    assert log.read_bytes() == FILE.read_bytes()


def test_a_log_in_another_form_is_compared(reconcile: Reconcile, tmp_path: Path) -> None:
    rows = "".join(f"<log>{html.escape(line)}</log>\n" for line in SOCKET.read_text().splitlines())
    (file := tmp_path / "it's.xml").write_text(f'<?xml version="1.0"?>\n<logs>\n{rows}</logs>\n')
    found = reconcile(FILE, file).out
    assert found.replace(" 3 lines without", " 0 lines without") == reconcile(FILE, SOCKET).out
