"""Run a program() handler.

syslog-ng restarts a handler that exits at once, and each restart loses a pipe full of lines. So a handler reads nothing
until it has everything that it needs; once it has read something, only the end of its input ends it. A wrong value of
an option ends it at once, unless syslog-ng has started it.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vaultwatch.handler.checks import Problem
from vaultwatch.handler.lock import hold_lock, is_first_holder
from vaultwatch.handler.log import SYSLOG_SOCKET, logger, logging_to, send_to_syslog
from vaultwatch.handler.parent import may_be_restarted
from vaultwatch.handler.stdin import EmptyInput, check_open, pause, wait_for_end
from vaultwatch.problem_log import ProblemLog


@dataclass(frozen=True)
class HandlerPace:
    """The intervals of a handler, in seconds; tests shorten them."""

    settings_retry_seconds: float = 10.0
    lock_retry_seconds: float = 0.2
    report_seconds: float = 60.0
    """The same problem is logged at most once in this time."""


class Handler(Protocol):
    """What a command such as `ship` or `watch` implements; `run` calls it."""

    @property
    def name(self) -> str:
        """The command's name."""

    @property
    def pace(self) -> HandlerPace:
        """The handler's intervals."""

    @property
    def log_file(self) -> Path | None:
        """The file to log to; None for syslog."""

    @property
    def lock_file(self) -> Path:
        """The lock file that one process at a time holds; used only if there are no problems."""

    def problems(self) -> list[Problem]:
        """Return what is wrong with the settings."""

    def notes(self) -> list[str]:
        """Return what the operator should know about settings that can be used."""

    def process(self, stdin: int, *, first: bool) -> None:
        """Read the input to its end.

        Args:
            stdin: The file descriptor of the input.
            first: Whether no process held the lock before this one.
        """


def check(handler: Handler) -> int:
    """Write what is wrong with the settings to stderr.

    Returns:
        2 if somebody has to change something, else 0: a network that is not up yet must not keep a log server from
        starting.
    """
    found = handler.problems()
    for text in [*(problem.text for problem in found), *handler.notes()]:
        sys.stderr.write(f"vaultwatch {handler.name}: {text}\n")
    return 2 if any(problem.permanent for problem in found) else 0


def run(handler: Handler, stdin: int = 0) -> int:
    """Wait for settings that can be used and for the lock, then process the input to its end.

    Returns:
        0; 2 if the command line has a wrong value, and syslog-ng has not started this process.

    Raises:
        SettingError: The input is closed.
    """
    check_open(stdin)
    _ignore_signals()
    with logging_to(_log_name(handler.name), handler.log_file):
        try:
            _wait_for_settings(handler, stdin)
            with hold_lock(handler.lock_file, stdin, handler.pace.lock_retry_seconds) as lock:
                handler.process(stdin, first=is_first_holder(lock))
        except EmptyInput:
            logger.info("exiting: the input ended empty, before anything was read")
        except _WrongCommandLine as wrong:
            sys.stderr.write(f"vaultwatch {handler.name}: {wrong}\n")
            return 2
    return 0


def refuse(name: str, text: str, stdin: int = 0, syslog: Path = SYSLOG_SOCKET) -> None:
    """Report a wrong command line, to stderr and to syslog, and wait for the end of the input without reading it.

    A command line cannot be repaired while the process runs, and syslog-ng would restart a handler that exits again
    and again.
    """
    sys.stderr.write(f"vaultwatch: {text}\n")
    sys.stderr.flush()
    with suppress(OSError):  # no syslog daemon listens; the text is on stderr already
        send_to_syslog(_log_name(name), logging.ERROR, f"{text} Reading is paused until this is fixed", syslog)
    wait_for_end(stdin)


def _log_name(verb: str) -> str:
    return f"vaultwatch-{verb}"


def _ignore_signals() -> None:
    """Ignore SIGTERM: syslog-ng sends it before the end of the input, while the pipe still holds lines."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


class _WrongCommandLine(Exception):
    """An option has a value that no waiting can mend."""


def _wait_for_settings(handler: Handler, stdin: int) -> None:
    reported = ProblemLog(handler.pace.report_seconds)
    while found := handler.problems():
        wrong = next((problem.text for problem in found if problem.is_of_command_line), "")
        if wrong and not may_be_restarted(stdin):
            raise _WrongCommandLine(wrong)
        for problem in found:
            reported.report(problem.text, logging.ERROR, f"{problem.text}: reading is paused until this is fixed")
        pause(stdin, handler.pace.settings_retry_seconds)
    reported.resolve("the settings are valid")
    for note in handler.notes():
        logger.warning("%s", note)
