"""The file of an audit device reaches the archive while it grows: every line once, whatever happens in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from testbed.memory_s3 import Fault, MemoryS3
from tests.support.exposition import read_metrics, value
from tests.support.kills import Killed, Killer, close_files
from vaultwatch.archive.chain import Segment, faults
from vaultwatch.archive.follow import Follower
from vaultwatch.archive.segments import unpack
from vaultwatch.archive.upload_state import load
from vaultwatch.archive.waiting import audit_file_log
from vaultwatch.aws import keys
from vaultwatch.cli import main
from vaultwatch.hosts.rotation import remove_archived

NODE = "vault-1"


def no_network(_call: Callable[[], Any]) -> Any:
    raise EndpointConnectionError(endpoint_url="https://s3")


def lost_answer(call: Callable[[], Any]) -> Any:
    call()
    raise EndpointConnectionError(endpoint_url="https://s3")


def kill_before(_call: Callable[[], Any]) -> Any:
    raise Killed


def kill_after(call: Callable[[], Any]) -> Any:
    call()
    raise Killed


FAULTS = {"no network": no_network, "lost answer": lost_answer, "kill before": kill_before, "kill after": kill_after}


class Device:
    """The file of an audit device, what was written to it, and the archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "audit.log"
        self.s3 = MemoryS3()
        self.written = b""
        self._rotations = self._lines = 0

    def write(self, lines: int = 1, data: bytes = b"") -> None:
        for _ in range(lines):
            self._lines += 1
            data += b'{"time":"2026-11-28T09:00:00.%06dZ","type":"request"}\n' % self._lines
        with self.file.open("ab") as file:
            file.write(data)
        self.written += data

    def rotate(self) -> Path:
        """Rename the file, as `host rotate` does; nobody has it open, and it has not changed for a while."""
        self._rotations += 1
        rotated = self.file.with_name(f"audit.log-20261128-{self._rotations:06}")
        self.file.rename(rotated)
        os.utime(rotated, (time.time() - 900,) * 2)
        return rotated

    def run(self, **options: Any) -> bool:
        """Follow the file once; return whether all of it could be uploaded."""
        follower = Follower(lambda: self.s3, "archive", NODE, **options)  # type: ignore[arg-type,return-value]
        list(follower.run(self.folder, [audit_file_log("audit.log")]))
        return not follower.failed

    def segments(self) -> list[bytes]:
        stored = sorted(self.s3.objects.items(), key=lambda item: item[0].rpartition("/")[2])
        return [b"".join(unpack([body])) for _, (body, _) in stored]

    def archived(self) -> bytes:
        return b"".join(self.segments())

    def check(self) -> None:
        """Check that the archive has every whole line once, in whole lines, in an unbroken chain."""
        chain = [
            Segment(key, sha256(body).hexdigest(), said["previous-sha256"])
            for key, (body, said) in self.s3.objects.items()
        ]
        assert list(faults(chain, {})) == []
        assert self.archived() == self.written[: self.written.rfind(b"\n") + 1]
        assert all(segment.endswith(b"\n") for segment in self.segments())


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


class TestGrowing:
    def test_what_was_written_since_the_last_run_is_a_segment(self, device: Device) -> None:
        for lines in (2, 1, 3):
            device.write(lines)
            assert device.run()
        assert [segment.count(b"\n") for segment in device.segments()] == [2, 1, 3]
        device.check()

    def test_without_new_lines_there_is_no_segment(self, device: Device) -> None:
        assert device.run()
        device.file.touch()
        assert device.run()
        device.write()
        assert device.run()
        assert device.run()
        assert len(device.segments()) == 1

    def test_a_line_is_uploaded_when_it_is_whole(self, device: Device) -> None:
        device.write(1, b"")
        device.write(0, b'{"time":')
        device.run()
        assert device.archived().count(b"{") == 1
        device.write(0, b'"x"}\n')
        device.run()
        device.check()

    def test_a_first_line_that_is_not_whole_waits(self, device: Device) -> None:
        for part in (b"{", b"}", b"\n"):
            assert device.run()
            assert device.segments() == []
            device.write(0, part)
        device.run()
        device.check()

    def test_a_segment_is_bounded_and_ends_with_a_line(self, device: Device) -> None:
        device.write(10)
        assert device.run(segment_bytes=150)
        assert [segment.count(b"\n") for segment in device.segments()] == [2] * 5
        device.check()

    def test_a_line_longer_than_a_segment_is_a_segment(self, device: Device) -> None:
        long = 3 * 1024 * 1024
        device.write(1, b"x" * long + b"\n")
        device.write(0, b"y" * long)
        assert device.run(segment_bytes=150)
        assert [len(segment) for segment in device.segments()] == [long + 1, 56]
        device.write(1, b"\n")
        assert device.run(segment_bytes=150)
        device.check()

    def test_a_first_line_of_more_than_64_kib_identifies_its_file_before_it_is_whole(self, device: Device) -> None:
        device.write(0, b"x" * 70_000)
        device.run()
        device.write(0, b"\n")
        device.run()
        device.write()
        device.run()
        device.check()


class TestRotation:
    def test_the_end_of_a_rotated_file_comes_before_the_new_one(self, device: Device) -> None:
        device.write(2)
        device.run()
        device.write(1)
        rotated = device.rotate()
        device.write(1)
        assert device.run()
        assert [segment.count(b"\n") for segment in device.segments()] == [2, 1, 1]
        device.check()
        assert remove_archived([device.folder]) == [rotated]

    def test_a_rotated_file_that_vault_still_has_open_is_followed_and_not_marked(self, device: Device) -> None:
        device.write(1)
        with device.file.open("ab"):
            rotated = device.rotate()
            device.run()
            assert list(device.folder.glob("*.archived")) == []
            with rotated.open("ab") as late:
                late.write(b"late\n")
            device.written += b"late\n"
            device.run()
            device.check()
        os.utime(rotated, (time.time() - 900,) * 2)
        device.run()
        assert len(list(device.folder.glob("*.archived"))) == 1
        device.check()

    def test_a_new_file_under_a_reused_inode_is_another_file(self, device: Device) -> None:
        device.write(3)
        device.run()
        inode = device.file.stat().st_ino
        device.file.rename(device.folder / "old")
        device.write(5)
        numbers = load(device.folder / ".audit.log.uploads.json")
        (identity,) = numbers.offsets
        assert identity.startswith(f"{inode}-")
        text = (device.folder / ".audit.log.uploads.json").read_text()
        reused = text.replace(f"{inode}-", f"{device.file.stat().st_ino}-")
        (device.folder / ".audit.log.uploads.json").write_text(reused)
        assert device.run()
        device.check()

    def test_a_rotated_file_without_a_last_newline_is_uploaded_to_its_end(self, device: Device) -> None:
        device.write(1)
        device.write(0, b"cut")
        device.rotate()
        device.run()
        assert device.archived() == device.written

    def test_a_file_without_any_newline_is_uploaded_when_it_is_finished(self, device: Device) -> None:
        device.write(0, b"cut")
        device.rotate()
        device.run()
        assert device.archived() == b"cut"

    def test_an_empty_rotated_file_can_be_removed(self, device: Device) -> None:
        device.file.touch()
        device.rotate()
        device.run()
        assert len(list(device.folder.glob("*.archived"))) == 1

    @pytest.mark.parametrize("size", [0, 10, 60])
    def test_a_file_that_was_truncated_is_reported_and_nothing_after_it_is_lost(
        self, device: Device, size: int
    ) -> None:
        device.write(5)
        device.run()
        os.truncate(device.file, size)
        device.run()
        device.write(2, b"\n")
        device.run()
        assert device.archived().endswith(device.written[-112:])

    def test_a_file_that_was_truncated_and_begins_as_before_makes_the_run_fail(self, device: Device) -> None:
        device.write(5)
        device.run()
        os.truncate(device.file, 60)
        assert not device.run()

    def test_links_and_folders_are_not_followed(self, device: Device, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret\n")
        device.file.symlink_to(tmp_path / "secret")
        (device.folder / "audit.log-20261128-000001").mkdir()
        device.run()
        assert device.segments() == []


class TestFailures:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_a_part_whose_upload_failed_is_stored_once_by_the_next_run(self, device: Device, fault: Fault) -> None:
        device.write(2)
        device.s3.fault = fault
        try:
            assert not device.run()
        except Killed:
            close_files(device.folder)
        device.write(3)
        rotated = device.rotate()
        assert device.run()
        device.check()
        assert remove_archived([device.folder]) == [rotated]

    def test_after_its_numbers_were_lost_a_file_is_stored_beside_what_s3_has(self, device: Device) -> None:
        written = time.time() - 900
        for lines in (1, 2):
            (device.folder / ".audit.log.uploads.json").unlink(missing_ok=True)
            device.write(lines)
            os.utime(device.file, (written, written))
            assert device.run()
        assert sorted(segment.count(b"\n") for segment in device.segments()) == [1, 3]

    def test_what_somebody_with_its_credential_stores_while_an_upload_fails_is_not_taken_for_it(
        self, device: Device
    ) -> None:
        """He knows the number and the time of each segment, and cannot list what the archive has."""
        device.write(2)
        device.s3.fault = no_network
        assert not device.run()
        forged = keys.segment("audit-file", NODE, 1, datetime(2026, 11, 28, 9, tzinfo=UTC))
        device.s3.objects[forged] = (b"x", {})
        assert device.run()
        del device.s3.objects[forged]
        device.check()

    def test_nothing_is_marked_while_s3_cannot_be_reached(self, device: Device) -> None:
        device.write(2)
        device.rotate()
        device.s3.fault = no_network
        assert not device.run()
        assert remove_archived([device.folder]) == []

    def test_a_removed_file_with_a_pending_part_is_reported_once(
        self, device: Device, caplog: pytest.LogCaptureFixture
    ) -> None:
        device.write(2)
        device.s3.fault = no_network
        device.run()
        device.file.unlink()
        assert not device.run()
        assert "a file was removed; S3 may lack segment 1" in caplog.text
        device.write(1)
        assert device.run()

    def test_a_run_that_is_killed_at_any_step_is_completed_by_the_next(self, tmp_path: Path, killer: Killer) -> None:
        for step in range(1, 1000):
            device = Device(tmp_path / str(step))
            device.folder.mkdir()
            device.write(2)
            device.rotate()
            device.write(2)
            killed = kill_at(killer, device, step)
            device.write(1)
            assert device.run()
            device.check()
            if not killed:
                break
        assert step > 10


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


def kill_at(killer: Killer, device: Device, step: int) -> bool:
    killer.folder, killer.left = str(device.folder), step
    try:
        device.run()
    except Killed:
        return True
    finally:
        killer.left = 0
        close_files(device.folder)
    return False


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("part"), st.integers(1, 40)),
    st.just(("rotate", 0)),
    st.just(("remove", 0)),
    st.just(("run", 0)),
    st.tuples(st.just("kill"), st.integers(1, 25)),
    st.tuples(st.sampled_from(sorted(FAULTS)), st.just(0)),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return iter(lambda: tmp_path_factory.mktemp("device"), None)


@settings(max_examples=40)
@given(steps=st.lists(STEPS, max_size=25))
def test_in_any_order_of_writes_rotations_faults_and_kills_every_line_is_archived_once(
    folders: Iterator[Path], killer: Killer, steps: list[tuple[str, int]]
) -> None:
    device = Device(next(folders))
    for step, size in steps:
        if step == "write":
            device.write(size)
        elif step == "part":
            device.write(0, b"x" * size)
        elif step == "rotate" and device.file.exists() and device.written.endswith(b"\n"):
            device.rotate()
        elif step == "remove":
            remove_archived([device.folder])
        elif step == "kill":
            kill_at(killer, device, size)
        elif step == "run" or step in FAULTS:
            device.s3.fault = FAULTS.get(step)
            try:
                device.run()
            except Killed:
                close_files(device.folder)
    device.s3.fault = None
    assert device.run()
    device.check()


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", "follow", "--bucket", "b", "--node", "n"]) == 2
    assert "FILE" in capsys.readouterr().err


def test_the_metrics_say_whether_a_run_was_complete_and_what_it_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    file, prom = tmp_path / "audit.log", tmp_path / "archive.prom"
    file.write_bytes(b'{"number":1}\n')
    follow = ["archive", "follow", "--bucket", "archive", "--node", "n", "--metrics", str(prom), str(file)]
    with mock_aws():
        statuses = [main(follow)]
        failed = read_metrics(prom.read_bytes())
        boto3.client("s3").create_bucket(Bucket="archive")
        statuses.append(main(follow))
    done = read_metrics(prom.read_bytes())
    assert statuses == [1, 0]
    for name, values in {"complete": (0, 1), "uploaded_segments": (0, 1), "waiting_files": (0, 0)}.items():
        found = [value(it, f"vaultwatch_archive_{name}", command="archive follow") for it in (failed, done)]
        assert found == list(values)


def test_metrics_that_cannot_be_written_are_status_2(tmp_path: Path) -> None:
    none = str(tmp_path / "none/archive.prom")
    follow = ["archive", "follow", "--bucket", "b", "--node", "n", "--metrics", none, str(tmp_path / "x/audit.log")]
    assert main(follow) == 2
