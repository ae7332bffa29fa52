"""A handler's own log: to a file, to syslog, never the same complaint in a flood, and never its end."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from tests.support.waiting import HUNG_SECONDS
from vaultwatch.handler.stdin import Complaints, begun, ended_empty, logger, logging_to, stand_still


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A place without a syslog."""
    return tmp_path / "log"


def test_a_log_file_is_written_and_the_logger_left_as_it_was(tmp_path: Path, nowhere: Path) -> None:
    level = logger.level
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("hello")
    assert (tmp_path / "x.log").read_text().endswith(" INFO x: hello\n")
    assert (logger.handlers, logger.level) == ([], level)


def test_a_rotated_log_file_is_opened_again(tmp_path: Path, nowhere: Path) -> None:
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("before")
        (tmp_path / "x.log").rename(tmp_path / "x.log.1")
        logger.info("after")
    assert "after" in (tmp_path / "x.log").read_text()
    assert "after" not in (tmp_path / "x.log.1").read_text()


def test_a_log_file_whose_folder_goes_and_comes_back_ends_nobody(
    tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with logging_to("x", folder / "x.log", nowhere):
        logger.info("before")
        folder.rename(tmp_path / "old")
        logger.info("meanwhile")
        folder.mkdir()
        logger.info("after")
    assert capsys.readouterr().err == "x: meanwhile\n"
    assert (folder / "x.log").read_text().endswith("x: after\n")


@pytest.mark.parametrize("place", ["/dev/full", "/proc/self/x.log"])
def test_a_log_file_that_takes_nothing_leaves_no_traceback(
    place: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to("x", Path(place), nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


def test_a_named_pipe_that_nobody_reads_is_not_waited_for(
    tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x.log")
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


@pytest.mark.parametrize(("level", "severity"), [(logging.ERROR, 27), (logging.WARNING, 28), (logging.INFO, 30)])
def test_without_a_log_file_syslog_hears_it(nowhere: Path, level: int, severity: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(nowhere))
        syslog.settimeout(HUNG_SECONDS)
        with logging_to("x", None, nowhere):
            logger.log(level, "hello")
        assert syslog.recv(1000) == f"<{severity}>x: hello".encode()


def test_a_syslog_that_listens_for_connections_hears_it_too(nowhere: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as syslog:
        syslog.bind(str(nowhere))
        syslog.listen()
        with logging_to("x", None, nowhere):
            logger.error("hello")
        with syslog.accept()[0] as connection:
            assert connection.recv(1000) == b"<27>x: hello\0"


def test_a_syslog_that_has_gone_stops_nothing(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(nowhere))
    with logging_to("x", None, nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


def test_text_that_is_no_unicode_is_written_as_escapes(tmp_path: Path, nowhere: Path) -> None:
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("a\udcffb")
    assert "a\\udcffb" in (tmp_path / "x.log").read_text()


def test_a_complaint_held_back_is_counted_in_the_next(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("vaultwatch.handler.stdin.time.monotonic", lambda: now[0])
    complaints = Complaints(every_seconds=60.0)
    for seconds in (0, 1, 59, 60):
        now[0] = 1000.0 + seconds
        complaints.complain("b", logging.ERROR, "b is wrong")
    assert caplog.messages == ["b is wrong", "b is wrong (2 more times meanwhile)"]


def test_that_all_is_well_again_is_said_once_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    complaints = Complaints(every_seconds=60.0)
    complaints.settle("well")
    complaints.complain("a", logging.ERROR, "a is wrong")
    complaints.settle("well")
    complaints.settle("well")
    assert caplog.messages == ["a is wrong", "well"]


def test_the_table_of_complaints_is_bounded() -> None:
    complaints = Complaints(every_seconds=60.0)
    for number in range(1000):
        complaints.complain(str(number), logging.DEBUG, "wrong")
    assert len(complaints._seen) <= 100


def test_an_input_has_ended_empty_when_its_writer_went_and_left_nothing() -> None:
    reading, writing = os.pipe()
    try:
        assert not ended_empty(reading, 0)
        os.write(writing, b"x")
        os.close(writing)
        assert not ended_empty(reading, 0)
        assert os.read(reading, 10) == b"x"
        assert ended_empty(reading, 10)
    finally:
        os.close(reading)


def test_who_stands_still_says_so_where_it_is_heard_and_reads_nothing(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"line")
    os.close(writing)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(str(nowhere))
            syslog.settimeout(5)
            stand_still("vaultwatch-x", "No such option.", reading, nowhere)
            assert syslog.recv(1000) == b"<27>vaultwatch-x: No such option. Reads nothing until this is repaired"
        assert capsys.readouterr().err == "vaultwatch: No such option.\n"
        assert os.read(reading, 100) == b"line"
    finally:
        os.close(reading)


def test_only_the_first_that_holds_a_lock_stands_at_the_beginning_of_the_log(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        assert [begun(lock), begun(lock)[:2]] == ["", "20"]
    finally:
        os.close(lock)


def test_a_full_disk_at_the_first_start_ends_nobody() -> None:
    """What cannot be noted for the next process is not claimed by this one."""
    lock = os.open("/dev/full", os.O_RDWR)
    try:
        assert begun(lock)[:2] == "20"
    finally:
        os.close(lock)
