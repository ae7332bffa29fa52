"""Evaluate the logs at the places that a user names, and say which of them could not be read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from vaultwatch.audience import S3
from vaultwatch.cli.check_jobs import Ahead
from vaultwatch.cli.foreign import Foreign
from vaultwatch.cli.objects import objects_at
from vaultwatch.cli.outputs import is_same
from vaultwatch.cli.own_files import MOST_NAMED, say_left_out
from vaultwatch.cli.progress import Progress
from vaultwatch.detection.detector import Detector
from vaultwatch.findings.found import Findings
from vaultwatch.findings.reader import LogRead, Observer, Reader, Settings, shown
from vaultwatch.findings.trials import hint_of
from vaultwatch.inputs import CHECK
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import Log, files_at
from vaultwatch.inputs.own import begins_as_own
from vaultwatch.inputs.parts import PART_BYTES, Part, parts_of
from vaultwatch.inputs.rejects import PACKED, Rejects
from vaultwatch.printable import counted, one_line, quoted
from vaultwatch.reading.records import Rejected

LINE_SECONDS = 20
_MOST_NAMED = 10
_MOST_PROBLEMS = 1_000
_MOST_TORN = 3
_MOST_IN_OTHERS = 10
"""Records: as examples, a text of another kind has fewer."""
_Files = list[tuple[str, list[Part]]]
"""The files at a place, with their parts."""


class Manner(NamedTuple):
    """How a run works.

    Attributes:
        jobs: In how many processes.
        watched: Whether progress is shown on stderr; None if a line now and then says how much has been read.
        allow_empty: Whether a log may be empty.
        part_bytes: The bytes of the parts of a log.
        quiet: Whether only errors are said.
    """

    jobs: int
    watched: bool | None
    allow_empty: bool
    part_bytes: int = PART_BYTES
    quiet: bool = False


class _Found:
    """What was found at one place.

    Attributes:
        read: How many logs could be read, or some lines of them.
        unreadable: How many files could not be read, or not to their end.
        foreign: Those that are no logs.
        torn: How many have more lines that were rejected than records.
        of_torn: The first of these.
        partly: How many others have lines that were cut, or mixed with others.
        wrapped: How many have lines that look wrapped.
        of_wrapped: What is said of the first of these.
        unclear: How many others have lines that are read as messages, though no server is known to write them.
        of_unclear: The first of these.
        mostly_unclear: How many have more such lines than other records.
        own: What Vaultwatch itself has written, by the name of the log.
    """

    def __init__(self) -> None:
        self.read = self.unreadable = self.torn = self.partly = 0
        self.foreign = Foreign()
        self.of_torn: list[LogRead] = []
        self.of_unclear: list[LogRead] = []
        self.unclear = self.mostly_unclear = 0
        self.own: dict[str, str] = {}


class Run:
    """Evaluates logs one after the other; large ones, and many, also at the same time.

    Attributes:
        reader: What evaluates them.
        failed: Whether something could not be done that the user asked for.
        doubtful: Whether a place has only logs of which most lines were rejected, or only ones of which most are read
            as messages that no server is known to write.
        problems: What could not be read, or not as it was written, in sentences; at most a thousand.
        notes: Which files, of a place that has logs too, are no logs of Vault, in sentences; at most a thousand.
        own: How many logs were left out, because Vaultwatch itself has written them.
        own_names: Their names, at most a hundred.
        torn: The names of files with a few records, and more rejected lines, at most a thousand.
        undated: The names of logs with messages of the server log only, none with a time, at most a thousand.
    """

    def __init__(
        self,
        settings: Settings,
        manner: Manner,
        rejects: Rejects,
        observer: Observer | None = None,
        outputs: Sequence[Path] = (),
        former: Run | None = None,
    ) -> None:
        """Make a run.

        Args:
            settings: How logs are read.
            manner: How the run works.
            rejects: Counts the lines that are rejected.
            observer: Watches what is read, in one process.
            outputs: Files that are written meanwhile: they are no logs of a folder.
            former: A run that has read the same logs before: what it has said is not said again.
        """
        self._former = former
        self.reader = Reader(settings, rejects, observer=observer)
        self.failed = self.doubtful = False
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.own = 0
        self.own_names: list[str] = []
        self.torn: set[str] = set()
        self.undated: set[str] = set()
        self._doubts: list[str] = []
        self._settings = settings
        self._outputs = outputs
        self._manner = manner._replace(jobs=1) if observer else manner
        self._progress: Progress | None = None
        self._overall: Progress | None = None
        self._line_at = time.monotonic() + LINE_SECONDS

    @property
    def read_nothing(self) -> bool:
        """Whether no line could be read: there was none, or all were rejected."""
        counts = self.detector.counts
        return not (counts.audit or counts.server)

    @property
    def detector(self) -> Detector:
        """What evaluates records."""
        return self.reader.detector

    def read(self, places: Sequence[str], findings: Findings) -> None:
        """Evaluate the logs at these places, and add what is found.

        Args:
            places: Files, folders, patterns, addresses on S3, or "-".
            findings: Gets the alerts.

        Raises:
            ChildEnded: A process that read a part of them did not finish.
            SettingError: A bucket cannot be listed.
        """
        named = [(place, self._files(place)) for place in places]
        parts = [part for _, files in named for _, parts in files for part in parts]
        jobs, min_bytes, keep = self._manner.jobs, self._manner.part_bytes, self.reader.rejects.keeps
        with Ahead(self._settings, parts, jobs, self._show_overall, keep=keep, min_bytes=min_bytes) as ahead:
            self._overall = Progress(_name_of(named), ahead.size) if ahead.size else None
            for place, files in named:
                self._read_place(place, files, ahead, findings)
        findings.add(self.detector.flush())
        self._clear()
        for message in () if findings.count else self._doubts:
            self._say(message)
        self.failed = self.failed or bool(self.reader.errors)

    def _files(self, place: str) -> _Files:
        if place.startswith(S3):
            found = objects_at(place)
            return [(one.name, [Part(one.name, 0, opening=one.opening, is_named=one.name == place)]) for one in found]
        return [(name, self._parts(name, is_named=name == place)) for name in files_at(place) if self._is_input(name)]

    def _is_input(self, name: str) -> bool:
        return not any(is_same(path, name) for path in self._outputs)

    def _parts(self, name: str, *, is_named: bool) -> list[Part]:
        if self._manner.jobs == 1:
            return [Part(name, 0, is_named=is_named)]

        def divides(head: bytes) -> bool:
            return self.detector.divides(head) and (is_named or not begins_as_own(head))

        return [part._replace(is_named=is_named) for part in parts_of(name, divides, self._manner.part_bytes)]

    def _read_place(self, place: str, files: _Files, ahead: Ahead, findings: Findings) -> None:
        found = _Found()
        for name, parts in files:
            try:
                for log in self._logs(parts, ahead, findings):
                    self._count(log, found)
            except Unreadable as error:
                found.unreadable += 1
                self.failed = True
                if found.unreadable <= _MOST_NAMED:
                    self.fail(f"{shown(name)}: {error}")
        self._judge(place, found)

    def _logs(self, parts: Sequence[Part], ahead: Ahead, findings: Findings) -> Iterator[LogRead]:
        """Read a file, and yield the logs in it. What was read ahead counts only if it would be the same now."""
        for number, part in enumerate(parts, 1):
            result = ahead.next()
            try:
                if result and self.reader.would_read_alike(part, result):
                    yield from self.reader.take_over(part, result, findings)
                else:
                    yield from self.reader.read(part, findings, self._show)
            except Unreadable:
                ahead.give_up(part.name)
                ahead.skip(len(parts) - number)
                raise
            if not part.is_last and not self.detector.carries_nothing:
                ahead.give_up(part.name)

    def _count(self, log: LogRead, found: _Found) -> None:
        self._clear()
        if log.own:
            self.own += 1
            if len(self.own_names) < MOST_NAMED:
                self.own_names.append(log.name)
            found.own[log.name] = log.own
        elif log.records:
            found.read += 1
            if log.is_undated and len(self.undated) < _MOST_PROBLEMS:
                self.undated.add(log.name)
            self._count_read(log, found)
        elif log.rejected:
            found.foreign.add(log)
            if log.over_budget:
                self._note_torn(log)

    def _count_read(self, log: LogRead, found: _Found) -> None:
        """Count a log with records, by what is wrong with its other lines."""
        found.mostly_unclear += log.unclear > log.records - log.unclear
        if log.unclear:
            found.unclear += 1
            if found.unclear <= _MOST_NAMED:
                found.of_unclear.append(log)
        if log.rejected > log.records:
            found.torn += 1
            self._note_torn(log)
            if len(found.of_torn) < _MOST_NAMED:
                found.of_torn.append(log)
        elif log.first and not log.unclear:
            self._note_partly(log, log.first, found)

    def _note_partly(self, log: LogRead, first: Rejected, found: _Found) -> None:
        """Say what can be done about the lines of a log that are rejected, if something is known."""
        hint = hint_of(log) if found.partly < _MOST_NAMED and not self._manner.quiet else ""
        if CHECK in hint or log.torn.kind or first.reason == PACKED:
            found.partly += 1
            if hint:
                message = f"{log.name}: {counted(log.rejected, 'line')} cannot be read: {first.reason}{hint}"
                self._note(message)
                if CHECK in hint:
                    self._keep(self.problems, message)

    def _note_torn(self, log: LogRead) -> None:
        if log.records < _MOST_IN_OTHERS and len(self.torn) < _MOST_PROBLEMS:
            self.torn.add(log.name)

    def _show(self, log: Log, position: int, _size: int) -> None:
        if not self._overall:
            self._progress = self._progress or Progress(shown(log.name), log.size)
            self._show_progress(self._progress, position)

    def _show_overall(self, done: int) -> None:
        if self._overall:
            self._show_progress(self._overall, done)

    def _show_progress(self, progress: Progress, position: int) -> None:
        if self._manner.watched:
            progress.show(position)
        elif self._manner.watched is None and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_SECONDS
            click.echo(f"vaultwatch: {progress.line(position)}", err=True)

    def _clear(self) -> None:
        if (shown := self._overall or self._progress) and self._manner.watched:
            shown.clear()
        self._progress = None

    def _judge_torn(self, place: str, found: _Found) -> None:
        """Say of which logs most lines were rejected; without an alert, it is an error if all of a place are such."""
        say = self._doubt if found.torn and found.torn == found.read else self._note
        if found.torn > _MOST_TORN:
            names = ", ".join(log.name.removeprefix(f"{place.rstrip('/')}/") for log in found.of_torn[:_MOST_TORN])
            say(f"{shown(place)}: of {found.torn:,} files ({names}, ...), more lines are rejected than read")
            return
        for log in found.of_torn if say != self._note or not self._manner.quiet else ():
            if first := log.first:
                read, lines = counted(log.records, "record"), counted(log.rejected, "line")
                what = f"only {read} can be read, and {lines} cannot; the first"
                say(f"{log.name}: {what}: {first.reason}{hint_of(log)}")

    def _judge_unclear(self, place: str, found: _Found) -> None:
        """Say of which logs lines were read as messages that are none; an error if of a place most lines are such."""
        is_doubtful = found.mostly_unclear > 0 and found.mostly_unclear == found.read
        self.doubtful = self.doubtful or is_doubtful
        for log in found.of_unclear if is_doubtful or not self._manner.quiet else ():
            text = one_line(log.first_unclear.decode("utf-8", "replace").strip(), 80)
            several = f"{log.unclear:,} lines are read as messages though they have"
            what = several if log.unclear > 1 else "1 line is read as a message though it has"
            hint = "" if found.torn <= _MOST_TORN and log in found.of_torn else hint_of(log)
            message = f"{log.name}: {what} neither time nor level, and no server is known to write such"
            message = f"{message}; the first: {quoted(text)}{hint}"
            (self._doubt if is_doubtful else self._note)(message)
            if CHECK in hint and not is_doubtful:
                self._keep(self.problems, message)
        if (others := found.unclear - _MOST_NAMED) > 0:
            self._note(f"{shown(place)}: {counted(others, 'more log')} have lines that no server is known to write")

    def _judge(self, place: str, found: _Found) -> None:
        """Fail if no log could be read at a place; a folder may have other files as well, and empty logs."""
        if (others := found.unreadable - _MOST_NAMED) > 0:
            self.fail(f"{shown(place)}: {counted(others, 'more file')} cannot be read, {found.unreadable:,} in all")
        kept, say = (self.notes, self._note) if found.read else (self.problems, self._say)
        for message in found.foreign.sentences(shown(place)):
            say(message)
            self._keep(kept, message)
        self._judge_torn(place, found)
        self._judge_unclear(place, found)
        if (others := found.partly - _MOST_NAMED) > 0:
            self._note(f"{shown(place)}: {counted(others, 'more log')} have lines that were cut or mixed")
        if found.own and self._former is None and not self._manner.quiet:
            self._clear()
            say_left_out(place, found.own)
        if found.read or found.unreadable:
            return
        if found.foreign.count:
            self.failed = True
        elif not self._manner.allow_empty:
            why = "nothing else is there" if found.own else "it is empty, or nothing in it is a record"
            self.fail(f"{shown(place)}: there is no log to read: {why} (--allow-empty accepts that)")

    def fail(self, message: str) -> None:
        """Say that something could not be done that the user asked for."""
        self.failed = True
        self._keep(self.problems, message)
        self._say(message)

    def _doubt(self, message: str) -> None:
        """Say that a place may be no log; if only errors are said, once it is known that there is no alert."""
        self.doubtful = True
        self._keep(self.problems, message)
        if self._manner.quiet:
            self._keep(self._doubts, message)
        else:
            self._say(message)

    def status(self, alerts: int) -> int:
        """Return the exit status for this number of alerts."""
        is_error = self.failed or (self.doubtful and not alerts)
        return 2 if is_error else 1 if alerts else 0

    def _keep(self, messages: list[str], message: str) -> None:
        if len(messages) < _MOST_PROBLEMS:
            messages.append(message)

    def _note(self, message: str) -> None:
        """Say what is no error."""
        if not self._manner.quiet:
            self._say(message)

    def _say(self, message: str) -> None:
        self._clear()
        if self._former is None or message not in (*self._former.problems, *self._former.notes):
            click.echo(one_line(f"vaultwatch: {message}"), err=True)


def _name_of(named: Sequence[tuple[str, _Files]]) -> str:
    files = [name for _, files in named for name, _ in files]
    return shown(files[0]) if len(files) == 1 else counted(len(files), "file")
