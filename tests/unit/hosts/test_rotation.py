"""The guarded rotation of the audit file, and what may be removed afterwards. This process plays syslog-ng."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaultwatch.hosts.rotation import (
    Limits,
    Rotation,
    read_position,
    remove_archived,
    unsent_lines,
)

LINES = b'{"id": 1}\n' * 100
AT_ONCE = Limits(size_bytes=1, age_seconds=3600, wait_seconds=0)


class Host:
    """The audit file of a node; `reopened` counts what Vault was asked."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "audit.log"
        self.file.write_bytes(LINES)
        self.reader: int | None = os.getpid()
        self.unsent = 0
        self.reopened = 0

    def rotate(self, limits: Limits = AT_ONCE) -> str:
        return Rotation(self.file, lambda: self.reader, lambda: self.unsent, self._reopen, limits).run()

    def rotated(self) -> list[Path]:
        return sorted(self.file.parent.glob("audit.log-*"))

    def _reopen(self) -> None:
        self.reopened += 1
        self.file.touch()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def reading(host: Host) -> Iterator[int]:
    """A descriptor by which the file is read to its end."""
    descriptor = os.open(host.file, os.O_RDONLY)
    os.lseek(descriptor, 0, os.SEEK_END)
    yield descriptor
    os.close(descriptor)


def test_a_file_that_was_read_and_sent_is_renamed_and_vault_opens_a_new_one(host: Host, reading: int) -> None:
    assert host.rotate().startswith("rotated: audit.log-2")
    (rotated,) = host.rotated()
    assert rotated.read_bytes() == LINES
    assert host.reopened == 1
    assert host.file.read_bytes() == b""


@pytest.mark.usefixtures("reading")
def test_it_is_not_renamed_while_syslog_ng_is_stopped(host: Host) -> None:
    host.reader = None
    assert host.rotate() == "not rotated: syslog-ng does not run"
    assert host.rotated() == []


def test_it_is_not_renamed_while_syslog_ng_reads_the_previous_one(host: Host) -> None:
    with (host.file.with_name("audit.log-20261128-101500")).open("wb"):
        assert host.rotate() == "not rotated: syslog-ng has not read the previous file to its end"
    assert host.reopened == 0


def test_it_is_not_renamed_before_it_was_read_to_its_end(host: Host, reading: int) -> None:
    os.lseek(reading, 300, os.SEEK_SET)
    assert host.rotate() == "not rotated: syslog-ng has 700 bytes to read"


@pytest.mark.usefixtures("reading")
def test_it_is_not_renamed_before_everything_was_sent(host: Host) -> None:
    """What waits in memory is lost if syslog-ng is killed, and only the file under its name is read again."""
    host.unsent = 3
    assert host.rotate() == "not rotated: syslog-ng has 3 lines to send"
    assert host.rotated() == []


@pytest.mark.usefixtures("reading")
def test_it_waits_for_the_age_or_the_size(host: Host) -> None:
    assert host.rotate(Limits(size_bytes=2000)) == "not rotated: it is not time"
    stamp = host.file.with_name(".audit.log.rotated")
    os.utime(stamp, (0, 0))
    assert host.rotate(Limits(size_bytes=2000)).startswith("rotated")
    assert host.rotate(Limits(size_bytes=2000)) == "not rotated: it is not time"


@pytest.mark.usefixtures("reading")
def test_an_empty_file_is_never_due(host: Host) -> None:
    host.file.write_bytes(b"")
    assert host.rotate(Limits(size_bytes=1, age_seconds=0)) == "not rotated: it is not time"


def test_a_file_that_vault_has_not_created_is_no_error(host: Host) -> None:
    host.file.unlink()
    assert host.rotate() == "not rotated: Vault has not created the file"


def test_a_process_that_has_ended_reads_nothing(host: Host) -> None:
    assert read_position(2**22 + 1, host.file) is None


def test_the_queue_of_a_destination_is_read_from_the_statistics() -> None:
    statistics = (
        "SourceName;SourceId;SourceInstance;State;Type;Number\n"
        "dst.network;d_vaultwatch_file#0;tls,log-server:1516;a;queued;17\n"
        "dst.network;d_vaultwatch_file#0;tls,log-server:1516;a;written;5\n"
        "dst.network;d_vaultwatch_file_2#0;tls,log-server:1516;a;queued;99\n"
        "center;;queued;a;processed;4\n\n"
    )
    assert unsent_lines(statistics, "d_vaultwatch_file") == 17
    assert unsent_lines(statistics, "d_vaultwatch_server") == 0


class TestRemoval:
    @pytest.fixture
    def rotated(self, tmp_path: Path) -> Path:
        """A rotated file that has not changed for an hour."""
        file = tmp_path / "audit.log-20261128-101500"
        file.write_bytes(LINES)
        os.utime(file, (0, 0))
        return file

    @staticmethod
    def mark(file: Path) -> Path:
        mark = file.with_name(f"{file.name}.archived")
        mark.touch()
        return mark

    def test_only_a_file_with_a_mark_is_removed_and_its_mark_with_it(self, rotated: Path) -> None:
        assert remove_archived([rotated.parent]) == []
        mark = self.mark(rotated)
        assert remove_archived([rotated.parent, rotated.parent / "missing"]) == [rotated]
        assert not rotated.exists()
        assert not mark.exists()

    def test_a_file_that_somebody_has_open_stays(self, rotated: Path) -> None:
        self.mark(rotated)
        with rotated.open("rb"):
            assert remove_archived([rotated.parent]) == []
        assert remove_archived([rotated.parent]) == [rotated]

    def test_a_file_that_was_written_to_a_moment_ago_stays(self, rotated: Path) -> None:
        self.mark(rotated)
        os.utime(rotated)
        assert remove_archived([rotated.parent]) == []

    def test_a_mark_without_a_file_is_removed(self, rotated: Path) -> None:
        """A run that was killed between the two leaves it."""
        mark = self.mark(rotated)
        rotated.unlink()
        assert remove_archived([rotated.parent]) == []
        assert not mark.exists()
