"""Show every record of the logs at some places to rules that observe them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from vaultwatch.cli.own_files import say_left_out
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.errors import SettingError
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.hints import hint_for
from vaultwatch.inputs.logs import Log, files_at, logs_in
from vaultwatch.inputs.own import set_apart
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.rules.pack import Rule


def read_records(places: Sequence[str], observers: Sequence[Rule]) -> Counts:
    """Read logs in any form that `check` reads, and return how many records there were.

    Args:
        places: Files, folders, patterns, or "-" for stdin.
        observers: Rules that are given every record (`vaultwatch.detection.views.observing`).

    Raises:
        SettingError: A file cannot be read, or there is no record.
    """
    rejects = Rejects(None)
    detector = _detector(observers, rejects)
    for place in places:
        left_out = dict[str, str]()
        for name in files_at(place):
            try:
                for found in logs_in(name):
                    own, log = ("", found) if name == place else set_apart(found)
                    if own:
                        left_out[log.name] = own
                    else:
                        _read(detector, log)
            except Unreadable as error:
                raise SettingError(f"{_shown(name)}: {error}") from error
        if left_out:
            say_left_out(place, left_out)
    return _end(detector, rejects, places)


def read_line(line: str, observers: Sequence[Rule]) -> Counts:
    """Read a line of a log, in any form that `check` reads.

    Args:
        line: The line.
        observers: As for `read_records`.

    Raises:
        SettingError: There is no record in it.
    """
    rejects = Rejects(None)
    detector = _detector(observers, rejects)
    detector.feed(line.encode("utf-8", "surrogateescape").splitlines(keepends=True))
    return _end(detector, rejects, ["the line"])


def _detector(observers: Sequence[Rule], rejects: Rejects) -> Detector:
    return Detector(observers, zone=UTC, on_rejected=rejects.add, unwrap=True)


def _end(detector: Detector, rejects: Rejects, places: Sequence[str]) -> Counts:
    """Return how many records there were.

    Raises:
        SettingError: There was none.
    """
    detector.flush()
    if not detector.counts.audit + detector.counts.server:
        first = rejects.first
        why = f"{first.reason}{hint_for(places[0], first)}" if first else "it is empty"
        raise SettingError(f"{', '.join(map(_shown, places))}: there is no record to read: {why}")
    return detector.counts


def _read(detector: Detector, log: Log) -> None:
    splitter = LineSplitter()
    detector.begin_log(log.head, name=log.name)
    for chunk, _ in log.chunks():
        detector.feed(splitter.push(chunk))
    detector.feed(splitter.flush())
    detector.end_log()


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
