"""What follows the file of an audit device for `vaultwatch watch`: each line once, however the file is rotated."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread

import pytest

from tests.support.waiting import HUNG_SECONDS, eventually

FOLLOW = Path(__file__).parents[2] / "assets" / "systemd" / "vaultwatch-follow.sh"


class Device:
    """Writes lines to a file as an audit device does: it keeps the file open until it is asked to reopen it."""

    def __init__(self, file: Path) -> None:
        self.written: list[bytes] = []
        self._file = file
        self._open = file.open("ab", buffering=0)
        self._lock = Lock()

    def __del__(self) -> None:
        self._open.close()

    def write(self) -> None:
        with self._lock:
            line = b"line %d %s\n" % (len(self.written), b"x" * 1_000)
            self._open.write(line)
            self.written.append(line)

    def rotate(self, lines_behind: int = 50) -> None:
        """Rename the file as logrotate does, and ask to reopen it once some lines were written to the renamed one.

        Of the others, those before the one before are compressed, as with `delaycompress`.
        """
        for number in range(9, 0, -1):
            for suffix in ("", ".gz"):
                if (older := self._file.with_name(f"audit.log.{number}{suffix}")).exists():
                    older.rename(older.with_name(f"audit.log.{number + 1}{suffix}"))
        if (older := self._file.with_name("audit.log.2")).exists():
            (packed := older.with_name("audit.log.2.gz")).write_bytes(gzip.compress(older.read_bytes()))
            os.utime(packed, ns=(older.stat().st_atime_ns, older.stat().st_mtime_ns))
            older.unlink()
        self._file.rename(self._file.with_name("audit.log.1"))
        for _ in range(lines_behind):
            self.write()
        self.reopen()

    def reopen(self) -> None:
        with self._lock:
            self._open.close()
            self._open = self._file.open("ab", buffering=0)


@contextmanager
def following(file: Path, go_on: Event | None = None) -> Iterator[list[bytes]]:
    """Give the lines that are printed meanwhile; only the first one is read before an event, if it is given."""
    found: list[bytes] = []
    with subprocess.Popen([FOLLOW, file], stdout=subprocess.PIPE) as process:
        stdout = process.stdout
        assert stdout

        def read() -> None:
            for line in stdout:
                found.append(line)
                assert not go_on or go_on.wait(HUNG_SECONDS)

        reader = Thread(target=read)
        reader.start()
        try:
            yield found
        finally:
            process.terminate()
            reader.join()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def is_beyond(found: list[bytes], count: int) -> bool:
    return len(found) > count


def all_of(device: Device, found: list[bytes]) -> bool:
    return len(found) >= len(device.written)


def test_each_line_is_printed_once_across_rotations(file: Path) -> None:
    device, stop = Device(file), Event()

    def write() -> None:
        while not stop.wait(0.0005):
            device.write()

    writer = Thread(target=write)
    with following(file) as found:
        writer.start()
        for _ in range(4):
            device.rotate()
            new = len(device.written)
            eventually(partial(is_beyond, found, new))  # it has begun with the new file
        stop.set()
        writer.join()
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_what_was_rotated_before_is_printed_first(file: Path) -> None:
    device = Device(file)
    device.write()
    device.rotate()
    device.write()
    with following(file) as found:
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_two_rotations_before_it_looks_again_lose_nothing(file: Path) -> None:
    device = Device(file)
    device.write()
    with following(file) as found:
        eventually(lambda: all_of(device, found))
        for _ in range(2):
            device.rotate()
            device.write()
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_rotations_while_nobody_reads_lose_nothing(file: Path) -> None:
    """Whoever reads the lines may wait for days, such as for room on a disk."""
    device, go_on = Device(file), Event()
    for _ in range(200):  # more than a pipe holds
        device.write()
    with following(file, go_on) as found:
        eventually(lambda: found)
        for _ in range(5):
            device.rotate()
            device.write()
        go_on.set()
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_an_empty_new_file_is_no_sign_that_the_device_has_opened_it(file: Path) -> None:
    """Logrotate makes one with `create`."""
    device = Device(file)
    with following(file) as found:
        file.rename(file.with_name("audit.log.1"))
        file.touch()
        for _ in range(3):  # it looks at the new file between two of them
            device.write()
            eventually(lambda: all_of(device, found))
        device.reopen()
        device.write()
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_a_file_that_does_not_exist_yet_is_waited_for(file: Path) -> None:
    with following(file) as found:
        device = Device(file)
        device.write()
        eventually(lambda: all_of(device, found))
    assert found == device.written


def test_it_ends_once_nobody_reads(file: Path) -> None:
    device = Device(file)
    device.write()
    with subprocess.Popen([FOLLOW, file], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        device.write()
        process.wait(HUNG_SECONDS)
