"""Try on a part of a log what a hint would name: only a program that gives more records, and loses none, is named."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from vaultwatch.detection.detector import Detector
from vaultwatch.findings.reader import LogRead
from vaultwatch.reading.records import NO_OBJECT, Rejected

if TYPE_CHECKING:
    import subprocess

    from vaultwatch.inputs.programs import Program

_MOST_SECONDS, _MOST_SECONDS_IN_ALL = 2.0, 4.0
"""For a program, and for all that are tried on a log."""
_MOST_BYTES = 1 << 20
"""Of what a program prints: a few bytes can become many."""


def hint_of(log: LogRead) -> str:
    """Return the end of a sentence that says what to do about a log, of which some lines cannot be read."""
    from vaultwatch.inputs.hints import hint_for  # of few logs, and `check` starts fast

    first = log.first or Rejected(log.first_unclear, NO_OBJECT)
    return hint_for(log.name, first, log.torn, sample=log.sample, choose=best_of)


class Worth(NamedTuple):
    """What a text is worth as a log.

    Attributes:
        entries: How many audit entries it has.
        messages: How many messages of the server log it has with a time: what is none has none.
        others: How many lines are rejected, or read as messages though no server is known to write such.
    """

    entries: int
    messages: int
    others: int

    def exceeds(self, other: Worth) -> bool:
        """Return whether more can be read of a text than of another one, and nothing less.

        With the same records, at most a quarter of the other lines: joined to a record, or left out, they become fewer.
        """
        if self.entries < other.entries or self.messages < other.messages:
            return False
        fewer = self.others < other.others and self.others * 4 <= other.others
        return self[:2] != other[:2] or (fewer and self[:2] != (0, 0))


def worth_of(text: bytes) -> Worth:
    """Return what a text is worth as a log."""
    times = list[str]()
    one = Detector([], zone=UTC, unwrap=True, on_message=times.append)
    one.begin_log(text, name="sample")
    one.feed(text.splitlines(keepends=True) if b"\n" in text else [text])
    one.flush()
    counts = one.counts
    return Worth(counts.audit, sum(map(bool, times)), counts.rejected + counts.unclear)


def best_of(programs: Iterable[Program], text: bytes) -> Program | None:
    """Return the program that makes the most of a text; None if none helps.

    Args:
        programs: The programs.
        text: Whole lines of a log.
    """
    ends, before = monotonic() + _MOST_SECONDS_IN_ALL, worth_of(text)
    found: list[tuple[Worth, Program]] = []
    for program in programs:
        if monotonic() > ends:
            break
        if (made := _run(program.script, text)) and (worth := worth_of(made)).exceeds(before):
            found.append((worth, program))
    return max(found, key=lambda one: (one[0].entries + one[0].messages, -one[0].others), default=(before, None))[1]


def _run(script: str, text: bytes) -> bytes:
    """Return what a program prints; b"" if it fails, takes too long, or cannot be started.

    A process of its own can be ended, whatever a hostile text makes of a pattern.
    """
    import subprocess
    from tempfile import TemporaryFile

    command = [sys.executable, "-I", "-c", script]
    try:
        with TemporaryFile() as given:
            given.write(text)
            given.seek(0)
            with subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                return _printed(process)
    except OSError:  # of a process or a file: what was not tried is not named
        return b""


def _printed(process: subprocess.Popen[bytes]) -> bytes:
    ends = Timer(_MOST_SECONDS, process.kill)
    ends.start()
    try:
        made = process.stdout.read(_MOST_BYTES) if process.stdout else b""
        return made if len(made) == _MOST_BYTES or process.wait() == 0 else b""
    finally:
        ends.cancel()
        process.kill()
