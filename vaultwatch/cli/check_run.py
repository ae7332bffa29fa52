"""Evaluate the logs at the places that a user names, and say which of them could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import NamedTuple, Protocol

import click

from vaultwatch.cli.progress import Progress
from vaultwatch.detection.detector import Detector, Source
from vaultwatch.detection.evaluator import Counts
from vaultwatch.findings.found import Findings
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.hints import hint_for
from vaultwatch.inputs.logs import STDIN, Log, files_at, logs_in
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.printable import one_line
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Origin
from vaultwatch.rules.pack import Rule

_MOST_NAMED = 3


class Settings(NamedTuple):
    """How logs are read: as which log, in which time zone, with progress on stderr, and whether one may be empty."""

    source: Source
    zone: tzinfo | None
    watched: bool
    allow_empty: bool


class Observer(Protocol):
    """Watches what a run reads."""

    def begin_log(self, name: str, counts: Counts) -> None:
        """A log begins; these records were read before."""

    def end_log(self, counts: Counts) -> None:
        """The log ends; these records were read with it."""

    def entries(self, lines: Sequence[bytes], origin: Origin | None) -> None:
        """Audit entries were read: see `Detector`."""

    def note_problem(self, problem: str) -> None:
        """Something could not be read."""


class _Place:
    """What was found at one place: logs that could be read, those that were empty, and those that are no logs."""

    def __init__(self) -> None:
        self.read = 0
        self.empty: list[str] = []
        self.strange: list[str] = []


class Run:
    """Evaluates logs one after the other.

    Attributes:
        detector: What evaluates them.
        rejects: The lines that were rejected.
        errors: The last error of each rule that raised one.
        names: The logs that were opened.
        failed: Whether something could not be done that the user asked for.
    """

    def __init__(
        self, rules: Iterable[Rule], settings: Settings, rejects: Rejects, observer: Observer | None = None
    ) -> None:
        """Make a run.

        Args:
            rules: The rules.
            settings: How logs are read.
            rejects: Counts the lines that are rejected.
            observer: Watches what is read.
        """
        self.rejects = rejects
        self.errors: dict[str, str] = {}
        self.names: list[str] = []
        self.failed = False
        self._settings = settings
        self._observer = observer
        self.detector = Detector(
            rules,
            source=settings.source,
            zone=settings.zone,
            on_rejected=rejects.add,
            on_rule_error=self._note_rule_error,
            unwrap=True,
            on_entries=observer.entries if observer else None,
        )

    def count_rule_error(self, name: str, error: Exception) -> None:
        """Count that a match of a rule cannot be described."""
        self.detector.count_rule_error(name, error)

    def read(self, places: Sequence[str], findings: Findings) -> None:
        """Evaluate the logs at these places, and add what is found.

        Args:
            places: Files, folders, patterns, or "-".
            findings: Gets the alerts.
        """
        for place in places:
            self._read_place(place, findings)
        findings.add(self.detector.flush())
        self.failed = self.failed or bool(self.errors)

    def _read_place(self, place: str, findings: Findings) -> None:
        found, files = _Place(), files_at(place)
        for name in files:
            try:
                for log in logs_in(name):
                    self._read_log(log, found, findings)
            except Unreadable as error:
                self._fail(f"{_shown(name)}: {error}")
                found.read += 1
        if not files:
            found.empty.append(place)
        self._judge(place, found)

    def _read_log(self, log: Log, found: _Place, findings: Findings) -> None:
        name = _shown(log.name)
        self.names.append(name)
        before, self.rejects.first = self._lines(), None
        splitter = LineSplitter()
        if self._observer:
            self._observer.begin_log(name, self.detector.counts)
        self.detector.begin_log(log.head, name=name)
        try:
            self._feed(log, name, splitter, findings)
        finally:
            findings.add(self.detector.feed(splitter.flush()))
            findings.add(self.detector.end_log())
            if self._observer:
                self._observer.end_log(self.detector.counts)
        records, rejected = (after - earlier for after, earlier in zip(self._lines(), before, strict=True))
        if not records and not rejected:
            found.empty.append(name)
        elif not records:
            found.strange.append(name)
            if len(found.strange) <= _MOST_NAMED:
                self._say_strange(name, rejected)
        else:
            found.read += 1

    def _feed(self, log: Log, name: str, splitter: LineSplitter, findings: Findings) -> None:
        progress = Progress(name, log.size) if self._settings.watched else None
        for chunk, position in log.chunks():
            findings.add(self.detector.feed(splitter.push(chunk)))
            if progress:
                progress.show(position)
        if progress:
            progress.clear()

    def _lines(self) -> tuple[int, int]:
        """Return how many records were read, and how many lines were rejected."""
        counts = self.detector.counts
        return counts.audit + counts.server, counts.rejected

    def _say_strange(self, name: str, lines: int) -> None:
        first = self.rejects.first
        if first:
            what = "its only line is rejected" if lines == 1 else f"none of its {lines:,} lines can be read; the first"
            self._say(f"{name}: {what}: {first.reason}{hint_for(name, first)}")

    def _judge(self, place: str, found: _Place) -> None:
        """Fail if no log could be read at a place; a folder may have other files as well, and empty logs."""
        if others := len(found.strange[_MOST_NAMED:]):
            self._say(f"{_shown(place)}: nothing can be read of {others:,} more files")
        if found.read:
            return
        if found.strange:
            self.failed = True
        elif not self._settings.allow_empty:
            self._fail(f"{_shown(place)}: there is no log to read: it is empty (--allow-empty accepts that)")

    def _fail(self, message: str) -> None:
        self.failed = True
        self._say(message)

    def _say(self, message: str) -> None:
        click.echo(one_line(f"vaultwatch: {message}"), err=True)
        if self._observer:
            self._observer.note_problem(message)

    def _note_rule_error(self, name: str, error: Exception) -> None:
        self.errors[name] = f"{type(error).__name__}: {error}"


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
