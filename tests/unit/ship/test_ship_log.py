"""The handler's log: to a file, to syslog, never the same complaint in a flood."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from vaultwatch.ship.log import Complaints, logger, logging_to


def test_a_log_file_is_written(tmp_path: Path) -> None:
    with logging_to(tmp_path / "ship.log"):
        logger.info("hello")
    assert (tmp_path / "ship.log").read_text().endswith("INFO vaultwatch ship: hello\n")
    assert logger.handlers == []


def test_a_rotated_log_file_is_opened_again(tmp_path: Path) -> None:
    with logging_to(tmp_path / "ship.log"):
        logger.info("before")
        (tmp_path / "ship.log").rename(tmp_path / "ship.log.1")
        logger.info("after")
    assert "after" in (tmp_path / "ship.log").read_text()


def test_without_a_log_file_syslog_hears_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        syslog.settimeout(5)
        with logging_to(None, tmp_path / "log"):
            logger.error("hello")
        assert syslog.recv(1000) == b"<27>vaultwatch-ship: hello\x00"


def test_without_syslog_stderr_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(None, tmp_path / "log"):
        logger.info("hello")
    assert capsys.readouterr().err == "vaultwatch ship: hello\n"


def test_a_log_file_that_cannot_be_opened_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "missing" / "ship.log", tmp_path / "log"):
        logger.info("hello")
    assert "hello" in capsys.readouterr().err


def test_a_syslog_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslog.bind(str(tmp_path / "log"))
    syslog.close()
    with logging_to(None, tmp_path / "log"):
        logger.info("nobody hears this")


def test_a_complaint_held_back_is_counted_in_the_next(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 1.0, 59.0, 60.0, 61.0, 61.0])
    monkeypatch.setattr("vaultwatch.ship.log.time.monotonic", lambda: next(times))
    complaints = Complaints(every_seconds=60.0)
    for _ in range(5):
        complaints.complain("a", logging.ERROR, "a is wrong")
    complaints.complain("b", logging.ERROR, "b is wrong")
    assert caplog.messages == ["a is wrong", "a is wrong (2 more times meanwhile)", "b is wrong"]


def test_the_table_of_complaints_is_bounded() -> None:
    complaints = Complaints(every_seconds=60.0)
    for number in range(1000):
        complaints.complain(str(number), logging.DEBUG, "wrong")
    assert len(complaints._seen) <= 100
