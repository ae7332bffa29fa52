"""A handler's own log: to a file, to syslog or to stderr, and it never stops the handler."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from tests.support.syslogs import dead_syslog
from tests.support.waiting import HUNG_SECONDS
from vaultwatch.handler.log import logger, logging_to


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A path without a syslog socket."""
    return tmp_path / "log"


def test_a_log_file_is_written_and_the_logger_restored(tmp_path: Path, nowhere: Path) -> None:
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


def test_while_the_directory_of_the_log_file_is_missing_stderr_gets_the_messages(
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


@pytest.mark.parametrize("path", ["/dev/full", "/proc/self/x.log"])
def test_a_log_file_that_cannot_be_written_leaves_no_traceback(
    path: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to("x", Path(path), nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


def test_a_named_pipe_without_a_reader_is_not_waited_for(
    tmp_path: Path, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x.log")
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


@pytest.mark.parametrize(("level", "severity"), [(logging.ERROR, 27), (logging.WARNING, 28), (logging.INFO, 30)])
def test_without_a_log_file_syslog_gets_the_messages(nowhere: Path, level: int, severity: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(nowhere))
        syslog.settimeout(HUNG_SECONDS)
        with logging_to("x", None, nowhere):
            logger.log(level, "hello")
        assert syslog.recv(1000) == f"<{severity}>x: hello".encode()


def test_a_syslog_daemon_that_listens_for_connections_gets_them_too(nowhere: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as syslog:
        syslog.bind(str(nowhere))
        syslog.listen()
        with logging_to("x", None, nowhere):
            logger.error("hello")
        with syslog.accept()[0] as connection:
            assert connection.recv(1000) == b"<27>x: hello\0"


@pytest.mark.parametrize("is_left_behind", [False, True], ids=["no socket", "a dead socket"])
def test_without_a_syslog_daemon_stderr_gets_the_messages(
    nowhere: Path, is_left_behind: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_left_behind:
        dead_syslog(nowhere)
    with logging_to("x", None, nowhere):
        logger.info("hello")
    assert capsys.readouterr().err == "x: hello\n"


def test_text_that_is_not_unicode_is_escaped(tmp_path: Path, nowhere: Path) -> None:
    with logging_to("x", tmp_path / "x.log", nowhere):
        logger.info("a\udcffb")
    assert "a\\udcffb" in (tmp_path / "x.log").read_text()
