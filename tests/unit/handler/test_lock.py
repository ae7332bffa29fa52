"""The lock that only one process at a time holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaultwatch.handler.lock import hold_lock, is_first_holder, open_lock
from vaultwatch.handler.stdin import EmptyInput


def test_a_lock_is_free_again_after_its_holder(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    for _ in range(2):
        with hold_lock(tmp_path / "lock", reading, 0.0):
            pass
    os.close(writing)
    os.close(reading)


def test_waiting_for_a_lock_ends_when_the_input_ends_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reading, writing = os.pipe()
    with hold_lock(tmp_path / "lock", reading, 0.0):
        os.close(writing)
        with pytest.raises(EmptyInput), hold_lock(tmp_path / "lock", reading, 0.0):
            pass
    os.close(reading)
    assert caplog.messages == [f"reading is paused while another process holds {tmp_path / 'lock'}"]


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        open_lock(tmp_path / "lock")


def test_only_the_first_holder_of_a_lock_is_the_first(tmp_path: Path) -> None:
    for first in (True, False, False):
        lock = open_lock(tmp_path / "lock")
        assert is_first_holder(lock) is first
        os.close(lock)


def test_on_a_full_disk_no_holder_is_the_first() -> None:
    """If the mark cannot be written, the next process would be first as well."""
    lock = os.open("/dev/full", os.O_RDWR)
    try:
        assert not is_first_holder(lock)
    finally:
        os.close(lock)
