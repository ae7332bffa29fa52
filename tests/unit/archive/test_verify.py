"""`vaultwatch archive verify` and `list`, on a local S3 with Object Lock and on a copy in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

import boto3
import pytest
from moto import mock_aws

from tests.support.archive import MORNING, NODE, Archive, compress
from vaultwatch.archive.seen import note_seen
from vaultwatch.aws import keys
from vaultwatch.cli import main

_NUMBERS = count()


class Ran(NamedTuple):
    status: int
    out: list[str]
    err: str


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws():
            yield boto3.client("s3")


@pytest.fixture
def archive(s3: Any) -> Archive:
    return Archive(s3, f"archive-{next(_NUMBERS)}")


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> Ran:
        status = main(["archive", *map(str, arguments)])
        out, err = capfd.readouterr()
        return Ran(status, out.splitlines(), err)

    return call


class In402Days(datetime):
    """The clock when the segments are older than the setting archive_expiry_days."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=402)


class TestS3:
    @pytest.mark.parametrize("options", [(), ("--read",)])
    def test_an_untouched_archive_is_whole(self, archive: Archive, run: Run, options: tuple[str, ...]) -> None:
        assert run("verify", *options, archive.place) == (0, [], "3 segments, 0 faults\n")

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_removed_segment_shows_also_the_newest(self, archive: Archive, run: Run, number: int) -> None:
        archive.destroy(archive.keys[number - 1])
        (line,) = run("verify", archive.place).out
        assert line.startswith(f"source=audit/node={NODE} segment {number}: missing; it was there, with the SHA-256 ")

    def test_all_segments_of_a_host_that_are_gone_show(self, archive: Archive, run: Run) -> None:
        archive.destroy(keys.ARCHIVE)
        assert len(run("verify", archive.place).out) == 3

    def test_a_delete_marker_shows(self, archive: Archive, run: Run) -> None:
        archive.hide(archive.keys[2])
        assert run("verify", archive.place) == (
            1,
            [f"{archive.keys[2]}: hidden by a delete marker"],
            "3 segments, 1 fault\n",
        )

    def test_what_has_expired_is_no_fault_if_it_is_said(
        self, archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vaultwatch.cli.archive.datetime", In402Days)
        archive.hide(archive.keys[0])
        assert run("verify", "--expiry-days", 403, archive.place).status == 1
        assert run("verify", "--expiry-days", 400, archive.place) == (0, [], "3 segments, 0 faults\n")

    def test_a_hidden_note_still_counts(self, archive: Archive, run: Run) -> None:
        for note in archive.s3.list_objects_v2(Bucket=archive.bucket, Prefix=keys.SEEN)["Contents"]:
            archive.hide(note["Key"])
        archive.destroy(archive.keys[2])
        assert run("verify", archive.place).status == 1

    def test_a_new_version_of_a_segment_shows_even_if_it_is_whole(self, archive: Archive, run: Run) -> None:
        archive.put(archive.keys[2], archive.body(archive.keys[1]), archive.metadata(b"", 1))
        (line,) = run("verify", archive.place).out
        assert line == f"{archive.keys[2]}: replaced: it has 2 versions; the oldest one is compared"
        assert [it.split()[0] for it in run("list", archive.place).out] == archive.digests

    def test_a_segment_that_was_removed_and_written_again_shows(self, archive: Archive, run: Run) -> None:
        metadata = archive.metadata(archive.body(archive.keys[2]), 3)
        archive.destroy(archive.keys[2])
        archive.put(archive.keys[2], compress(b"forged\n"), metadata)
        found = run("verify", archive.place).out
        assert any(": altered: its SHA-256 is " in line for line in found)
        assert any("its metadata has another SHA-256" in line for line in found)

    def test_a_segment_without_a_checksum_shows(self, archive: Archive, run: Run) -> None:
        archive.s3.put_object(Bucket=archive.bucket, Key=keys.segment("audit", "b", 1, MORNING), Body=b"x")
        assert any("another program has stored it" in line for line in run("verify", archive.place).out)

    def test_a_cut_off_segment_shows_if_it_is_read(self, archive: Archive, run: Run) -> None:
        body = archive.body(archive.keys[2])[:-5]
        key = keys.segment("audit", NODE, 4, MORNING)
        archive.put(key, body, archive.metadata(body, 3))
        assert run("verify", archive.place).status == 0
        (line,) = run("verify", "--read", archive.place).out
        assert line == f"{key}: cut off: its last zstd frame is incomplete"

    def test_an_object_that_is_no_segment_shows_spelled_out(self, archive: Archive, run: Run) -> None:
        archive.put("archive/\u202ex", b"x")
        assert any(line == "archive/\\u202ex: not the key of a segment" for line in run("verify", archive.place).out)

    def test_a_segment_that_was_not_evaluated_within_a_day_shows(
        self, archive: Archive, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive.destroy("seen/source=audit/node=log-server/00000003")
        assert run("verify", archive.place).out == []
        monkeypatch.setattr("vaultwatch.cli.archive._EVALUATED_AFTER", timedelta(minutes=-1))
        assert run("verify", archive.place).out == [f"{archive.keys[2]}: not evaluated: sweep has not noted it"]

    def test_a_manifest_that_was_kept_finds_what_was_removed_together_with_its_note(
        self, archive: Archive, run: Run, tmp_path: Path
    ) -> None:
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_text("\n".join(run("list", "--format", "json", archive.place).out))
        archive.destroy(archive.keys[2])
        archive.destroy(f"{keys.SEEN}source=audit/node={NODE}/00000003")
        assert run("verify", archive.place).status == 0
        assert run("verify", "--manifest", manifest, archive.place).status == 1

    def test_the_list_has_the_digest_the_size_and_the_lines_of_each(self, archive: Archive, run: Run) -> None:
        listed = run("list", archive.place).out
        assert [line.split()[0] for line in listed] == archive.digests
        assert [line.split()[2:] for line in listed] == [[str(it + 1), key] for it, key in enumerate(archive.keys)]

    def test_faults_as_json_are_one_object_a_line(self, archive: Archive, run: Run) -> None:
        archive.hide(archive.keys[0])
        (line,) = run("verify", "--format", "json", archive.place).out
        assert json.loads(line) == {"where": archive.keys[0], "what": "hidden by a delete marker"}

    def test_a_note_that_is_written_again_changes_nothing(self, archive: Archive, run: Run) -> None:
        note_seen(archive.s3, archive.bucket, archive.keys[0], archive.digests[0])
        assert run("verify", archive.place).status == 0

    @pytest.mark.usefixtures("s3")
    def test_a_bucket_that_cannot_be_listed_is_status_2(self, run: Run) -> None:
        assert run("verify", "s3://another").status == 2
        assert run("verify", "s3://").status == 2


class TestCopy:
    def test_an_untouched_copy_is_whole(self, archive: Archive, run: Run, tmp_path: Path) -> None:
        assert run("verify", archive.copy(tmp_path / "copy")).status == 0
        assert run("verify", tmp_path / "copy" / "archive").status == 0

    def test_a_missing_a_cut_off_and_a_damaged_segment_show(self, archive: Archive, run: Run, tmp_path: Path) -> None:
        copy = archive.copy(tmp_path / "copy")
        one, two, three = (copy / key for key in archive.keys)
        one.unlink()
        two.write_bytes(two.read_bytes()[:-1])
        damaged = bytearray(three.read_bytes())
        damaged[-6] ^= 1
        three.write_bytes(damaged)
        assert [line.split(": ", 1)[1][:20] for line in run("verify", copy).out] == [
            "cut off: its last zs",
            "damaged: zstd decomp",
            "missing",
        ]

    def test_with_a_manifest_every_change_shows(self, archive: Archive, run: Run, tmp_path: Path) -> None:
        copy, manifest = archive.copy(tmp_path / "copy"), tmp_path / "manifest.jsonl"
        manifest.write_text("\n".join(run("list", "--format", "json", copy).out))
        (copy / archive.keys[1]).write_bytes(compress(b"forged\n"))
        (copy / archive.keys[2]).unlink()
        found = run("verify", "--manifest", manifest, copy).out
        assert [line.split(": ")[1].split(";")[0] for line in found] == ["altered", "missing"]

    @pytest.mark.parametrize("text", ["{", "[]", '{"key": 1}'])
    def test_a_manifest_that_is_none_is_status_2(self, run: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "manifest").write_text(text)
        assert run("verify", "--manifest", tmp_path / "manifest", tmp_path).status == 2

    def test_an_empty_folder_is_status_2(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "copy").mkdir()
        assert run("verify", tmp_path / "copy").err == f"vaultwatch: {tmp_path}/copy: it has no segment\n"
        assert run("verify", tmp_path / "none").status == 2
