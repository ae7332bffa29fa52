"""A handler reads nothing until it has everything that it needs, and then its input to the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest

from tests.support.syslogs import dead_syslog
from tests.support.waiting import HUNG_SECONDS, Logged
from vaultwatch.errors import SettingError
from vaultwatch.handler.checks import Problem
from vaultwatch.handler.lock import hold_lock
from vaultwatch.handler.run import HandlerPace, check, refuse, run

PACE = HandlerPace(settings_retry_seconds=0.01, lock_retry_seconds=0.01)
WRONG = Problem("--x: is wrong")


@dataclass
class Example:
    """A handler whose checks return the items of `found` in turn, and then always the last one."""

    lock_file: Path
    found: list[list[Problem]] = field(default_factory=lambda: [[]])
    name: str = "example"
    pace: HandlerPace = PACE
    log_file: Path | None = Path(os.devnull)
    read: list[bytes] = field(default_factory=list)
    firsts: list[bool] = field(default_factory=list)

    def problems(self) -> list[Problem]:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    def notes(self) -> list[str]:
        return ["--y is not set"]

    def process(self, stdin: int, *, first: bool) -> None:
        self.firsts.append(first)
        while chunk := os.read(stdin, 1000):
            self.read.append(chunk)


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path / "lock")


@pytest.fixture
def lines() -> Iterator[int]:
    """Return an input with one line that has already ended."""
    reading, writing = os.pipe()
    os.write(writing, b"line\n")
    os.close(writing)
    yield reading
    os.close(reading)


@pytest.fixture
def empty() -> Iterator[int]:
    """Return an empty input that has already ended."""
    reading, writing = os.pipe()
    os.close(writing)
    yield reading
    os.close(reading)


def test_the_input_is_processed_to_its_end(example: Example, lines: int) -> None:
    assert run(example, lines) == 0
    assert example.read == [b"line\n"]


def test_a_wrong_value_on_the_command_line_ends_it_with_one_line_and_reads_nothing(
    example: Example, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    example.found = [[Problem("--x: is wrong", is_of_command_line=True)]]
    assert run(example, lines) == 2
    assert capsys.readouterr().err == "vaultwatch example: --x: is wrong\n"
    assert os.read(lines, 100) == b"line\n"


def test_wrong_settings_are_logged_and_waited_for(
    example: Example, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    example.found = [[WRONG, Problem("--z: is unavailable", permanent=False)], [WRONG], []]
    assert run(example, lines) == 0
    assert caplog.messages == [
        "--x: is wrong: reading is paused until this is fixed",
        "--z: is unavailable: reading is paused until this is fixed",
        "the settings are valid after 3 failures",
        "--y is not set",
    ]
    assert example.read == [b"line\n"]


def test_an_input_that_ends_empty_ends_the_wait_for_settings(
    example: Example, empty: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    example.found = [[WRONG]]
    assert run(example, empty) == 0
    assert example.firsts == []
    assert caplog.messages[-1] == "exiting: the input ended empty, before anything was read"


def test_an_input_that_ends_empty_ends_the_wait_for_the_lock(example: Example, empty: int) -> None:
    with hold_lock(example.lock_file, empty, 0.0):
        assert run(example, empty) == 0
    assert example.firsts == []


def test_a_lock_that_another_process_holds_is_waited_for_while_there_are_lines(example: Example, lines: int) -> None:
    with hold_lock(example.lock_file, lines, 0.0), Logged("reading is paused while another process holds") as logged:
        second = Thread(target=run, args=(example, lines))
        second.start()
        logged.wait()
        assert example.read == []
    second.join(HUNG_SECONDS)
    assert example.read == [b"line\n"]


def test_only_the_first_process_with_this_lock_is_the_first(example: Example, empty: int) -> None:
    run(example, empty)
    run(example, empty)
    assert example.firsts == [True, False]


def test_a_closed_input_is_an_error_before_any_file_is_opened(example: Example, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="standard input is not open"):
        run(example, 1_000_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("found", "status"),
    [([], 0), ([WRONG], 2), ([Problem("--z: is unavailable", permanent=False)], 0)],
    ids=["right", "permanent", "passing"],
)
def test_a_check_fails_only_if_somebody_has_to_change_something(
    example: Example, found: list[Problem], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    example.found = [found]
    assert check(example) == status
    said = [f"vaultwatch example: {text}" for text in [*(problem.text for problem in found), "--y is not set"]]
    assert capsys.readouterr().err.splitlines() == said


class TestRefusal:
    """A wrong command line under syslog-ng, which restarts whatever exits."""

    def test_is_sent_to_syslog_and_reads_nothing(
        self, lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(str(tmp_path / "log"))
            syslog.settimeout(HUNG_SECONDS)
            refuse("x", "No such option.", lines, tmp_path / "log")
            assert syslog.recv(1000) == b"<27>vaultwatch-x: No such option. Reading is paused until this is fixed"
        assert capsys.readouterr().err == "vaultwatch: No such option.\n"
        assert os.read(lines, 100) == b"line\n"

    @pytest.mark.parametrize("is_left_behind", [False, True], ids=["no socket", "a dead socket"])
    def test_is_on_stderr_once_without_a_syslog_daemon(
        self, lines: int, tmp_path: Path, is_left_behind: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if is_left_behind:
            dead_syslog(tmp_path / "log")
        refuse("x", "No such option.", lines, tmp_path / "log")
        assert capsys.readouterr().err == "vaultwatch: No such option.\n"
