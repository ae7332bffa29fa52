"""What somebody does to an archive who may do everything but remove the notes of `sweep` shows, on S3 and on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
import zstandard
from moto import mock_aws

from tests.support.archive import MORNING, NODE, Archive, compress
from vaultwatch.aws import keys
from vaultwatch.cli import main

_NUMBERS = count()
Tampering = Callable[[Archive], None]


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
    return Archive(s3, f"tampered-{next(_NUMBERS)}")


@pytest.fixture
def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaultwatch.cli.archive._EVALUATED_AFTER", timedelta(minutes=-1))


def remove_the_first(archive: Archive) -> None:
    archive.destroy(archive.keys[0])


def remove_the_newest(archive: Archive) -> None:
    archive.destroy(archive.keys[2])


def remove_the_newest_and_hide_its_note(archive: Archive) -> None:
    archive.destroy(archive.keys[2])
    archive.hide(keys.seen(archive.keys[2], archive.digests[2]) or "")


def remove_all(archive: Archive) -> None:
    archive.destroy(keys.ARCHIVE)


def hide(archive: Archive) -> None:
    archive.hide(archive.keys[1])


def hide_and_store_again(archive: Archive) -> None:
    """Hide a segment, store it again, and remove the version that was hidden."""
    key, body, said = archive.keys[1], archive.body(archive.keys[1]), archive.said(archive.keys[1])
    version = archive.s3.head_object(Bucket=archive.bucket, Key=key)["VersionId"]
    archive.hide(key)
    archive.put(key, body, said)
    archive.s3.delete_object(Bucket=archive.bucket, Key=key, VersionId=version)


def replace_by_an_earlier_one(archive: Archive) -> None:
    archive.put(archive.keys[1], archive.body(archive.keys[0]), archive.said(archive.keys[0]))


def cover_a_replaced_one_with_its_original(archive: Archive) -> None:
    body, said = archive.body(archive.keys[1]), archive.said(archive.keys[1])
    archive.put(archive.keys[1], compress(b"forged\n"), said)
    archive.put(archive.keys[1], body, said)


def alter_the_metadata_in_a_new_version(archive: Archive) -> None:
    archive.put(archive.keys[1], archive.body(archive.keys[1]), {**archive.said(archive.keys[1]), "lines": "1"})


def name_another_segment_before_it(archive: Archive) -> None:
    said = {**archive.said(archive.keys[2]), "previous-sha256": archive.digests[0]}
    archive.rewrite(archive.keys[2], archive.body(archive.keys[2]), said)


def write_other_counts_of_lines(archive: Archive) -> None:
    archive.rewrite(archive.keys[2], archive.body(archive.keys[2]), {**archive.said(archive.keys[2]), "lines": "2"})


def remove_a_line_and_rewrite_everything(archive: Archive) -> None:
    """Alter a segment, and all that names it or comes after it: nothing in the chain contradicts it."""
    previous = ""
    for key in archive.keys:
        body = compress(zstandard.decompress(archive.body(key)) + b"forged\n")
        said = {"lines": "2", "sha256": sha256(body).hexdigest(), "previous-sha256": previous}
        archive.rewrite(key, body, said)
        previous = said["sha256"]


def swap_two(archive: Archive) -> None:
    first, second = ((archive.body(key), archive.said(key)) for key in archive.keys[:2])
    archive.rewrite(archive.keys[0], *second)
    archive.rewrite(archive.keys[1], *first)


def swap_what_two_say(archive: Archive) -> None:
    said = [archive.said(key) for key in archive.keys[:2]]
    for key, other in zip(archive.keys, reversed(said), strict=False):
        archive.rewrite(key, archive.body(key), other)


def renumber(archive: Archive) -> None:
    body, said = archive.body(archive.keys[2]), archive.said(archive.keys[2])
    archive.destroy(archive.keys[2])
    archive.put(keys.segment("audit", NODE, 4, MORNING), body, said)


def double(archive: Archive) -> None:
    said = {**archive.said(archive.keys[2]), "previous-sha256": archive.digests[2]}
    archive.put(keys.segment("audit", NODE, 4, MORNING), archive.body(archive.keys[2]), said)


def use_a_number_twice(archive: Archive) -> None:
    body = compress(b"forged\n")
    archive.put(keys.segment("audit", NODE, 3, MORNING + timedelta(hours=1)), body, archive.metadata(body, 1))


def move_to_another_host(archive: Archive) -> None:
    body, said = archive.body(archive.keys[0]), archive.said(archive.keys[0])
    archive.destroy(archive.keys[0])
    archive.put(keys.segment("audit", "other", 1, MORNING), body, said)


def copy_to_another_host(archive: Archive) -> None:
    archive.put(
        keys.segment("audit", "other", 1, MORNING), archive.body(archive.keys[0]), archive.said(archive.keys[0])
    )


def move_to_another_source(archive: Archive) -> None:
    body, said = archive.body(archive.keys[0]), archive.said(archive.keys[0])
    archive.destroy(archive.keys[0])
    archive.put(keys.segment("server", NODE, 1, MORNING), body, said)


def move_to_another_day(archive: Archive) -> None:
    """Nobody who looks for the day of its entries reads it there."""
    body, said = archive.body(archive.keys[2]), archive.said(archive.keys[2])
    archive.destroy(archive.keys[2])
    archive.put(keys.segment("audit", NODE, 3, MORNING - timedelta(days=40)), body, said)


def move_the_folder_only(archive: Archive) -> None:
    body, said = archive.body(archive.keys[2]), archive.said(archive.keys[2])
    archive.destroy(archive.keys[2])
    archive.put(archive.keys[2].replace("hour=09", "hour=10"), body, said)


def compress_again(archive: Archive) -> None:
    body = zstandard.ZstdCompressor(level=19).compress(zstandard.decompress(archive.body(archive.keys[1])))
    said = {**archive.said(archive.keys[1]), "sha256": sha256(body).hexdigest()}
    archive.rewrite(archive.keys[1], body, said)


def cut_off(archive: Archive) -> None:
    body = archive.body(archive.keys[2])[:-5]
    archive.rewrite(archive.keys[2], body, {**archive.said(archive.keys[2]), "sha256": sha256(body).hexdigest()})


def empty(archive: Archive) -> None:
    archive.rewrite(archive.keys[2], b"", {**archive.said(archive.keys[2]), "sha256": sha256(b"").hexdigest()})


def forge_the_next_ones(archive: Archive) -> None:
    """Append segments to the chain, as a host can that was taken over, past the function that should see them."""
    for number in (4, 5):
        body = compress(b"forged %d\n" % number)
        archive.put(keys.segment("audit", NODE, number, MORNING), body, archive.metadata(body, 1))
        archive.digests.append(sha256(body).hexdigest())


def forge_a_whole_host(archive: Archive) -> None:
    body = compress(b"forged\n")
    said = {"lines": "1", "sha256": sha256(body).hexdigest(), "previous-sha256": ""}
    archive.put(keys.segment("audit", "nobody", 1, MORNING), body, said)


def store_something_else(archive: Archive) -> None:
    archive.put(keys.ARCHIVE + "notes.txt", b"x")


TAMPERINGS: dict[Tampering, str] = {
    remove_the_first: "missing; it was there",
    remove_the_newest: "missing; it was there",
    remove_the_newest_and_hide_its_note: "missing; it was there",
    remove_all: "missing; it was there",
    hide: "hidden by a delete marker",
    hide_and_store_again: "it has been hidden by a delete marker",
    replace_by_an_earlier_one: "replaced: it has 2 versions",
    cover_a_replaced_one_with_its_original: "replaced: it has 3 versions",
    alter_the_metadata_in_a_new_version: "replaced: it has 2 versions",
    name_another_segment_before_it: "it follows another segment",
    write_other_counts_of_lines: "it has 3 lines, and its metadata says 2",
    remove_a_line_and_rewrite_everything: "altered",
    swap_two: "altered",
    swap_what_two_say: "its metadata has another SHA-256",
    renumber: "missing; it was there",
    double: "doubled",
    use_a_number_twice: "there are 2 segments with this number",
    move_to_another_host: "missing; it was there",
    copy_to_another_host: "doubled",
    move_to_another_source: "missing; it was there",
    move_to_another_day: "moved: the time in its key was 2026-11-28 09:00:00",
    move_the_folder_only: "not the key of a segment",
    compress_again: "altered",
    cut_off: "cut off",
    empty: "empty",
    forge_the_next_ones: "sweep has not noted it",
    forge_a_whole_host: "sweep has not noted it",
    store_something_else: "not the key of a segment",
}
SHOW_ONLY_IF_READ = {cut_off, write_other_counts_of_lines}
NOT_IN_A_COPY = {
    hide: "aws s3 sync does not copy it, so that it is missing",
    hide_and_store_again: "a copy has no versions",
    cover_a_replaced_one_with_its_original: "a copy has no versions",
    alter_the_metadata_in_a_new_version: "a copy has no metadata",
    name_another_segment_before_it: "a copy has no metadata",
    write_other_counts_of_lines: "a copy has no metadata",
    swap_what_two_say: "a copy has no metadata",
    forge_the_next_ones: "a copy has no times of storing",
    forge_a_whole_host: "a copy has no times of storing",
}


def verify(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return what it finds; "" if nothing is wrong."""
    status = main(["archive", "verify", *map(str, arguments)])
    out, _ = capfd.readouterr()
    assert status == (1 if out else 0)
    return out


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda it: it.__name__)
@pytest.mark.usefixtures("a_day_later")
def test_it_shows_on_s3(archive: Archive, capfd: pytest.CaptureFixture[str], tampering: Tampering) -> None:
    tampering(archive)
    assert TAMPERINGS[tampering] in verify(capfd, "--read", archive.place)
    if tampering not in SHOW_ONLY_IF_READ:
        assert TAMPERINGS[tampering] in verify(capfd, archive.place)


@pytest.mark.parametrize("tampering", [it for it in TAMPERINGS if it not in NOT_IN_A_COPY], ids=lambda it: it.__name__)
def test_it_shows_in_a_copy_with_the_notes(
    archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str], tampering: Tampering
) -> None:
    archive.copy(tmp_path, keys.SEEN)
    tampering(archive)
    for file in (tmp_path / keys.ARCHIVE).rglob("*.zst"):
        file.unlink()
    archive.keys = [it["Key"] for it in archive.s3.list_objects_v2(Bucket=archive.bucket).get("Contents", ())]
    archive.copy(tmp_path)
    assert verify(capfd, tmp_path)


@pytest.mark.usefixtures("a_day_later")
def test_an_archive_that_nobody_altered_is_whole(
    archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify(capfd, "--read", archive.place) == ""
    assert verify(capfd, archive.copy(tmp_path, keys.SEEN)) == ""


def test_the_list_says_what_is_wrong_with_each_segment(archive: Archive, capfd: pytest.CaptureFixture[str]) -> None:
    hide(archive)
    main(["archive", "list", archive.place])
    assert f"{archive.keys[1]}; hidden by a delete marker\n" in capfd.readouterr().out
