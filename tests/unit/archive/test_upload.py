"""Rotated files become segments of the archive: each once, with contiguous numbers, whatever ends a run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from botocore.exceptions import EndpointConnectionError
from botocore.handlers import add_expect_header

from testbed.aws import LocalAws
from tests.support.kills import Killed, Killer, close_files
from vaultwatch.archive.chain import Fault, faults
from vaultwatch.archive.inventory import seen_on_s3, stored_on_s3
from vaultwatch.archive.segments import unpack
from vaultwatch.archive.upload import Uploads
from vaultwatch.archive.upload_state import load
from vaultwatch.archive.waiting import LOGS
from vaultwatch.aws import keys
from vaultwatch.aws.clients import Clients
from vaultwatch.cli import main
from vaultwatch.hosts.rotation import remove_archived

NODE = "vault-1"
WRITTEN = time.time() - 900


def template() -> dict[str, Any]:
    """A locked bucket, and a role that may only write below the name of one host."""
    arns = [
        {"Fn::Join": ["", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "/", keys.segments_of(source, NODE), "*"]]}
        for source in keys.SOURCES
    ]
    statement = {"Sid": "Write", "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": arns}
    policies = [{"PolicyDocument": {"Statement": [statement]}}]
    return {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"ObjectLockEnabled": True}},
            "Host": {"Type": "AWS::IAM::Role", "Properties": {"Policies": policies}},
        }
    }


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws({"archive": template()}, tmp_path_factory.mktemp("code")) as aws:
        yield aws
        aws.endpoint.calls.clear()  # one test names a bucket that the role does not allow


class Host:
    """A host with its rotated files, and the archive as somebody sees it who may read it."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        self.folder = folder
        self.bucket = aws.physical_id("archive", "Bucket")
        self._reader = aws.client("s3")
        self._environment = aws.environment(aws.physical_id("archive", "Host"))
        self.clear()
        with self.credentials():
            self.s3: Any = Clients(connect_timeout_seconds=5, read_timeout_seconds=5).s3()
        # The local server does not answer it, and botocore waits for a second.
        self.s3.meta.events.unregister("before-call.s3", add_expect_header)

    @contextmanager
    def credentials(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            yield

    def clear(self) -> None:
        found = self._reader.list_object_versions(Bucket=self.bucket)
        for version in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
            self._reader.delete_object(Bucket=self.bucket, Key=version["Key"], VersionId=version["VersionId"])

    def run(self, s3: Any = None) -> bool:
        """Upload what waits; return whether all of it could be."""
        uploads = Uploads(lambda: s3 or self.s3, self.bucket, NODE)
        list(uploads.run(self.folder, LOGS))
        return not uploads.failed

    def rotated(self, number: int, data: bytes | None = None, *, log: str = "audit") -> Path:
        """Create a rotated file that has not changed for a while."""
        file = self.folder / f"{log}-20261128-{number:06}.zst"
        file.write_bytes(zstandard.compress(lines(number) if data is None else data))
        os.utime(file, (WRITTEN, WRITTEN))
        return file

    def remove(self, key: str) -> None:
        (version,) = self._reader.list_object_versions(Bucket=self.bucket, Prefix=key)["Versions"]
        self._reader.delete_object(Bucket=self.bucket, Key=key, VersionId=version["VersionId"])

    def faults(self) -> list[Fault]:
        return list(faults(stored_on_s3(self._reader, self.bucket, read=True), seen_on_s3(self._reader, self.bucket)))

    def names(self) -> list[str]:
        found = self._reader.list_object_versions(Bucket=self.bucket).get("Versions", ())
        return sorted((it["Key"] for it in found), key=lambda key: key.rpartition("/")[2])

    def segment(self, key: str) -> tuple[bytes, dict[str, str], bytes]:
        """Return the lines of a segment, its metadata and the object."""
        found = self._reader.get_object(Bucket=self.bucket, Key=key)
        data = found["Body"].read()
        return b"".join(unpack([data])), found["Metadata"], data

    def marked(self) -> list[str]:
        return sorted(it.name.removesuffix(".archived") for it in self.folder.glob("*.archived"))

    def check(self, *contents: bytes) -> None:
        """Check that the archive has exactly these, numbered and chained."""
        names = self.names()
        assert [int(re.split("[/-]", name.rpartition("/")[2])[0]) for name in names] == list(range(1, len(names) + 1))
        found = [self.segment(name) for name in names]
        assert [plain for plain, _, _ in found] == list(contents)
        previous = ""
        for _, metadata, data in found:
            assert (metadata["sha256"], metadata["previous-sha256"]) == (sha256(data).hexdigest(), previous)
            previous = metadata["sha256"]


def lines(number: int) -> bytes:
    return b'{"time":"2026-11-28T09:00:00.5Z","type":"request","number":%d}\n' % number * 3


@pytest.fixture
def host(aws: LocalAws, tmp_path: Path) -> Host:
    return Host(aws, tmp_path)


class Faulty:
    """A client whose next calls are replaced, one fault each; None lets a call pass."""

    def __init__(self, s3: Any, *faults: Callable[[Callable[[], Any]], Any] | None) -> None:
        self._s3 = s3
        self._faults = iter(faults)
        self.calls = 0

    def put_object(self, **arguments: Any) -> Any:
        self.calls += 1
        fault = next(self._faults, None)
        return fault(partial(self._s3.put_object, **arguments)) if fault else self._s3.put_object(**arguments)


def no_network(_call: Callable[[], Any]) -> Any:
    raise EndpointConnectionError(endpoint_url="https://s3")


def lost_answer(call: Callable[[], Any]) -> Any:
    call()
    raise EndpointConnectionError(endpoint_url="https://s3")


def no_checksum(call: Callable[[], Any]) -> dict[str, Any]:
    call()
    return {}


def refusal(code: str, status: int) -> Callable[[Callable[[], Any]], Any]:
    from botocore.exceptions import ClientError

    def refuse(_call: Callable[[], Any]) -> Any:
        response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, "PutObject")

    return refuse


class TestSegments:
    def test_each_rotated_file_is_a_segment_the_oldest_first(self, host: Host) -> None:
        files = [host.rotated(number) for number in (2, 1, 3)]
        assert host.run()
        host.check(lines(1), lines(2), lines(3))
        assert host.marked() == sorted(file.name for file in files)
        assert all(name.startswith(keys.segments_of("audit", NODE)) for name in host.names())

    def test_its_metadata_says_what_it_contains(self, host: Host) -> None:
        host.rotated(1, lines(1) + b"an incomplete line")
        host.run()
        _, metadata, _ = host.segment(host.names()[0])
        assert (metadata["lines"], metadata["bytes"]) == ("4", str(len(lines(1)) + 18))

    def test_the_logs_of_a_log_server_are_numbered_each_by_itself(self, host: Host) -> None:
        audit, server = host.rotated(1, log="audit"), host.rotated(1, log="messages")
        assert host.run()
        names = [name.partition("/dt=")[0] + "/" for name in host.names()]
        assert sorted(names) == [keys.segments_of("audit", NODE), keys.segments_of("server", NODE)]
        assert {host.segment(name)[2] for name in host.names()} == {audit.read_bytes(), server.read_bytes()}

    def test_the_numbers_go_on_in_the_next_run(self, host: Host) -> None:
        for number in (1, 2, 3):
            host.rotated(number)
            assert host.run()
        host.check(lines(1), lines(2), lines(3))

    def test_what_was_uploaded_is_a_whole_archive_until_a_segment_is_removed(self, host: Host) -> None:
        for number in (1, 2, 3):
            host.rotated(number)
        assert host.run()
        assert host.faults() == []
        host.remove(host.names()[1])
        assert [fault.what for fault in host.faults()] == ["missing"]

    def test_only_what_s3_has_can_be_removed(self, host: Host) -> None:
        first = host.rotated(1)
        assert not host.run(Faulty(host.s3, no_network))
        assert remove_archived([host.folder]) == []
        host.run()
        assert remove_archived([host.folder]) == [first]


class TestNotReady:
    @pytest.mark.parametrize("log", ["messages", "audit"])
    def test_a_file_that_has_just_changed_waits(self, host: Host, log: str) -> None:
        os.utime(host.rotated(1, log=log))
        assert host.run()
        assert host.names() == host.marked() == []

    def test_a_file_that_a_process_has_open_waits_and_does_not_stop_the_others(self, host: Host) -> None:
        with host.rotated(1).open("ab"):
            host.rotated(2)
            assert host.run()
            host.check(lines(2))
        assert host.run()
        host.check(lines(2), lines(1))

    @pytest.mark.parametrize("left", [0, 1, 20, -1])
    def test_an_incomplete_zstd_file_waits_and_does_not_stop_the_others(self, host: Host, left: int) -> None:
        cut = host.rotated(1, log="audit")
        whole = cut.read_bytes()
        cut.write_bytes(whole[:left])
        os.utime(cut, (WRITTEN, WRITTEN))
        host.rotated(2, log="audit")
        assert host.run()
        assert host.marked() == ["audit-20261128-000002.zst"]

    def test_neither_links_nor_folders_nor_other_files_are_uploaded(self, host: Host, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        host.folder.joinpath("audit-20261128-000001.zst").symlink_to(tmp_path / "secret")
        host.folder.joinpath("audit-20261128-000002.zst").mkdir()
        os.mkfifo(host.folder / "audit-20261128-000003.zst")
        for name in ("audit.log", "audit.alert-20261128-000001.zst", "audit-20261128-000001", "audit.log-1"):
            host.folder.joinpath(name).write_bytes(lines(1))
            os.utime(host.folder / name, (WRITTEN, WRITTEN))
        assert host.run()
        assert host.names() == []


class TestFailures:
    @pytest.mark.parametrize("fault", [no_network, lost_answer, refusal("SlowDown", 503), refusal("AccessDenied", 403)])
    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_a_failing_s3_delays_and_the_next_run_goes_on(self, host: Host, fault: Any, at: int) -> None:
        for number in (1, 2, 3):
            host.rotated(number)
        s3 = Faulty(host.s3, *[None] * at, fault)
        assert not host.run(s3)
        assert s3.calls == at + 1
        assert len(host.marked()) == at
        assert host.run()
        host.check(lines(1), lines(2), lines(3))

    def test_a_file_that_s3_always_refuses_does_not_stop_the_others(self, host: Host) -> None:
        refused = refusal("EntityTooLarge", 400)
        for number in (1, 2, 3):
            host.rotated(number)
        assert not host.run(Faulty(host.s3, refused))
        assert host.marked() == ["audit-20261128-000002.zst", "audit-20261128-000003.zst"]
        assert not host.run(Faulty(host.s3, refused))
        assert host.run()
        host.check(lines(1), lines(2), lines(3))

    def test_after_its_numbers_were_lost_a_file_is_stored_beside_what_s3_has(self, host: Host) -> None:
        file = host.rotated(1)
        host.run()
        host.folder.joinpath(".audit.uploads.json").unlink()
        file.with_name(f"{file.name}.archived").unlink()
        file.write_bytes(zstandard.compress(lines(1) * 2))
        os.utime(file, (WRITTEN, WRITTEN))
        assert host.run()
        assert sorted(host.segment(name)[0] for name in host.names()) == [lines(1), lines(1) * 2]

    def test_what_somebody_with_its_credential_stores_while_an_upload_fails_is_not_taken_for_it(
        self, host: Host
    ) -> None:
        """He knows the number and the time of each segment, and cannot list what the archive has."""
        host.rotated(1)
        assert not host.run(Faulty(host.s3, no_network))
        forged = keys.segment("audit", NODE, 1, datetime(2026, 11, 28, 9, tzinfo=UTC))
        host.s3.put_object(Bucket=host.bucket, Key=forged, Body=b"x", IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        assert host.run()
        assert host.marked() == ["audit-20261128-000001.zst"]
        [real] = {*host.names()} - {forged}
        assert host.segment(real)[0] == lines(1)

    def test_a_file_that_changed_after_a_lost_answer_is_uploaded_as_it_is_now(self, host: Host) -> None:
        file = host.rotated(1)
        host.run(Faulty(host.s3, lost_answer))
        file.write_bytes(zstandard.compress(lines(1) * 2))
        os.utime(file, (WRITTEN, WRITTEN))
        assert not host.run()
        assert host.run()
        host.check(lines(1), lines(1) * 2)

    @pytest.mark.parametrize("answer", ["AAAA", "x" * 44])
    def test_a_file_with_another_checksum_in_the_answer_is_not_marked(self, host: Host, answer: str) -> None:
        def answered(call: Callable[[], Any]) -> Any:
            return call() | {"ChecksumSHA256": answer}

        host.rotated(1)
        assert not host.run(Faulty(host.s3, answered))
        assert host.marked() == []

    def test_an_answer_without_a_checksum_confirms_nothing(self, host: Host) -> None:
        host.rotated(1)
        assert not host.run(Faulty(host.s3, no_checksum))
        assert host.marked() == []

    @pytest.mark.parametrize("text", ["", "{", '{"last": 1', '{"last": "x"}', '{"version": 2}'])
    def test_damaged_numbers_stop_their_log_only(self, host: Host, text: str) -> None:
        host.rotated(1)
        host.rotated(1, log="messages")
        host.folder.joinpath(".audit.uploads.json").write_text(text)
        assert not host.run()
        assert host.marked() == ["messages-20261128-000001.zst"]

    def test_a_file_that_waits_for_two_hours_is_reported(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with host.rotated(1).open("ab"):
            assert host.run()
            monkeypatch.setattr(time, "time", lambda moment=time.time: moment() + 7300)
            assert not host.run()
        assert "audit-20261128-000001.zst: it has been waiting for its upload for more than two hours" in caplog.text


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


class TestKills:
    def test_a_run_that_is_killed_at_any_step_is_completed_by_the_next(self, host: Host, killer: Killer) -> None:
        for step in range(1, 1000):
            for number in (1, 2):
                host.rotated(number)
            killed = self._kill(host, killer, step)
            assert host.run()
            host.check(lines(1), lines(2))
            assert len(host.marked()) == 2
            assert load(host.folder / ".audit.uploads.json").reserved == {}
            for file in host.folder.iterdir():
                file.unlink()
            host.clear()
            if not killed:
                break
        assert step > 10

    @staticmethod
    def _kill(host: Host, killer: Killer, step: int) -> bool:
        killer.folder, killer.left = str(host.folder), step
        try:
            host.run()
        except Killed:
            return True
        finally:
            killer.left = 0
            close_files(host.folder)
        return False

    @pytest.mark.parametrize("stored", [False, True])
    def test_a_run_that_is_killed_before_or_after_the_call_is_completed_by_the_next(
        self, host: Host, stored: bool
    ) -> None:
        def kill(call: Callable[[], Any]) -> Any:
            if stored:
                call()
            raise Killed

        for number in (1, 2, 3):
            host.rotated(number)
        with pytest.raises(Killed):
            host.run(Faulty(host.s3, None, kill))
        assert host.run()
        host.check(lines(1), lines(2), lines(3))

    def test_what_was_removed_before_its_number_was_settled_is_not_uploaded_again(self, host: Host) -> None:
        file = host.rotated(1)
        with pytest.raises(Killed):
            host.run(Faulty(host.s3, kill_after))
        file.unlink()
        host.rotated(2)
        assert host.run()
        host.check(lines(1), lines(2))


def kill_after(call: Callable[[], Any]) -> Any:
    call()
    raise Killed


class TestCommand:
    def test_it_prints_the_keys_and_exits_with_0(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.rotated(1)
        assert self._run(host, host.bucket) == 0
        assert capsys.readouterr().out == f"uploaded: {host.names()[0]}\n"

    def test_a_failure_is_one_line_and_exit_status_1(self, host: Host, caplog: pytest.LogCaptureFixture) -> None:
        host.rotated(1)
        assert self._run(host, "missing-bucket") == 1
        assert len(caplog.records) == 1

    @staticmethod
    def _run(host: Host, bucket: str) -> int:
        with host.credentials():
            named = [str(host.folder), str(host.folder / "missing")]
            return main(["archive", "upload", "--bucket", bucket, "--node", NODE, *named])
