"""Show every record of the logs at some places to rules that observe them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from vaultwatch.cli.own_files import say_left_out
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.errors import SettingError
from vaultwatch.findings.trials import best_of
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.hints import hint_for
from vaultwatch.inputs.logs import Log, files_at, logs_in
from vaultwatch.inputs.own import set_apart
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.rules.pack import Rule


def read_records(places: Sequence[str], observers: Sequence[Rule], reader: str) -> Counts:
    """Read logs in any form that `check` reads, and return how many records there were.

    Args:
        places: Files, folders, patterns, or "-" for stdin.
        observers: Rules that are given every record (`vaultwatch.detection.views.observing`).
        reader: The command that reads them, as it reads stdin: a hint names it.

    Raises:
        SettingError: A file cannot be read, or there is no record.
    """
    found = _Records(observers)
    for place in places:
        left_out = dict[str, str]()
        for name in files_at(place):
            try:
                for one in logs_in(name, reader=reader):
                    own, log = ("", one) if name == place else set_apart(one)
                    if own:
                        left_out[log.name] = own
                    else:
                        found.read(log)
            except Unreadable as error:
                raise SettingError(f"{_shown(name)}: {error}") from error
        if left_out:
            say_left_out(place, left_out)
    return found.end(places, reader)


def read_line(line: str, observers: Sequence[Rule], reader: str) -> Counts:
    """Read a line of a log, in any form that `check` reads.

    Args:
        line: The line.
        observers: As for `read_records`.
        reader: As for `read_records`.

    Raises:
        SettingError: There is no record in it.
    """
    found = _Records(observers)
    found.feed(line.encode("utf-8", "surrogateescape").splitlines(keepends=True))
    return found.end(["the line"], reader)


class _Records:
    """Reads logs, and keeps the first line that is rejected in them, and which log that is."""

    def __init__(self, observers: Sequence[Rule]) -> None:
        self._rejects, self._log, self._first_log = Rejects(None), STDIN, STDIN
        self._detector = Detector(observers, zone=UTC, on_rejected=self._reject, unwrap=True)

    def read(self, log: Log) -> None:
        """Read a log.

        Raises:
            Unreadable: It cannot be read to its end.
        """
        self._log, splitter = log.name, LineSplitter()
        self._detector.begin_log(log.head, name=log.name)
        for chunk, _ in log.chunks():
            self.feed(splitter.push(chunk))
        self.feed(splitter.flush())
        self._detector.end_log()

    def feed(self, lines: list[bytes]) -> None:
        """Read the next lines."""
        self._detector.feed(lines)
        self._rejects.watch(lines)

    def end(self, places: Sequence[str], reader: str) -> Counts:
        """Return how many records there were.

        Raises:
            SettingError: There was none.
        """
        self._detector.flush()
        counts, first = self._detector.counts, self._rejects.first
        if not counts.audit + counts.server:
            why = f"{first.reason}{self._hint(first, reader)}" if first else "it is empty"
            raise SettingError(f"{', '.join(map(_shown, places))}: there is no record to read: {why}")
        return counts

    def _hint(self, first: Rejected, reader: str) -> str:
        return hint_for(self._first_log, first, reader=reader, sample=self._rejects.sample, choose=best_of)

    def _reject(self, line: Rejected) -> None:
        if self._rejects.first is None:
            self._first_log = self._log
        self._rejects.add(line)


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
