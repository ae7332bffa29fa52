"""Evaluate the input of `watch` and store the alerts."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from functools import partial

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.detection.verdict import Verdict
from vaultwatch.handler.counters import Counters
from vaultwatch.problem_log import ProblemLog
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.store.absences import Absences
from vaultwatch.store.first_seen import FirstSeen
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.files import Figures, RejectedLines
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.recording import Recorder

MAX_GATHERED = 200
"""The most alerts that are gathered before they are stored."""
_NOTED_SECONDS = 86_400.0
"""Between two notes of which rules are live."""
_LOOKED_SECONDS = 60.0
"""Between two looks for what is due."""
_MAX_ORIGINS = 200  # a forged tag must not create time series without end


class Evaluation:
    """Evaluates the input and stores its alerts; implements `vaultwatch.handler.stdin.Consumer`.

    An alert is stored before more is read. Those that follow it within a second are gathered in the journal and stored
    together, so that acts that belong together share a notification.

    Attributes:
        received: The lines that were read, by origin.
    """

    def __init__(self, options: WatchOptions, recorder: Recorder, store: SqliteStore, log_start: str) -> None:
        rules = options.load_rules()
        self._recorder = recorder
        self._first_seen = FirstSeen(rules, lambda: store)
        self._absences = Absences(rules, lambda: store)
        self._next_look = -math.inf
        self._next_note = -math.inf
        self._gather_seconds = options.pace.gather_seconds
        self._gathered: list[Alert] = []
        self._dropped = self._future = 0
        self._next_store = -math.inf
        self._reported = ProblemLog(options.pace.report_seconds)
        self._splitter = LineSplitter()
        self.received = Counters(_MAX_ORIGINS)
        self._figures = Figures(options.stats, options.pace.stats_seconds)
        self._rejected_lines = RejectedLines(options.rejected)
        self._detector = Detector(
            rules,
            source="server" if options.source == "server" else "audit",
            zone=options.load_zone(),
            on_rejected=self._on_rejected,
            on_rule_error=self._on_rule_error,
            on_waiting=self._on_waiting,
            wait_seconds=options.pace.wait_for_response_seconds,
        )
        self._detector.correlator.concludes = False
        self._detector.begin_log(log_start=log_start)

    @property
    def counts(self) -> Counts:
        """The numbers of records read since the start."""
        return self._detector.counts

    def do_due(self) -> None:
        """Store the alerts that have waited long enough, and write the figures, if they are due."""
        if time.monotonic() >= self._next_note:
            self._recorder.retry(lambda: self._first_seen.note_live(time.time()))
            self._next_note = time.monotonic() + _NOTED_SECONDS
        if self._absences and time.monotonic() >= self._next_look:
            self._look_for_absences()
            self._next_look = time.monotonic() + _LOOKED_SECONDS
        self._gather(self._detector.due())
        self._judge()
        if self._gathered and time.monotonic() >= self._next_store:
            self._store()
        self._report_dropped()
        self._write_figures()

    @property
    def seconds_to_next(self) -> float:
        """Return the seconds until an alert or the figures are due."""
        waits = [self._figures.seconds_to_next]
        if self._detector.next_due is not None:
            waits.append(self._detector.next_due - time.monotonic())
        if self._gathered:
            waits.append(self._next_store - time.monotonic())
        if self._absences:
            waits.append(self._next_look - time.monotonic())
        return min(waits)

    def feed(self, chunk: bytes) -> None:
        """Evaluate the lines that the chunk completes."""
        self._evaluate(self._splitter.push(chunk))

    def finish(self) -> None:
        """Evaluate a last line without a newline, and store all alerts that still wait."""
        self._evaluate(self._splitter.flush())
        self._gather(self._detector.flush())
        self._judge()
        self._store()
        self._write_figures(final=True)

    def _evaluate(self, lines: Sequence[bytes]) -> None:
        self.received.add_lines(lines)
        self._detector.correlator.received = time.time()
        self._gather(self._detector.feed(lines))
        self._judge()

    def _look_for_absences(self) -> None:
        """Store the alerts on what is due and has not come, and then note that they are stored."""
        now = time.time()
        for overdue in self._recorder.retry(lambda: self._absences.overdue(now)):
            self._recorder.record([overdue.alert])
            self._recorder.retry(partial(self._absences.settle, overdue, now))

    def _judge(self) -> None:
        """Store the alerts on what was seen for the first time, and then remember that it was seen."""
        if expected := self._detector.correlator.runs.drain():
            self._recorder.retry(lambda: self._absences.expect(expected, time.time()))
        if seen := self._detector.correlator.firsts.drain():
            now = time.time()
            judged = self._recorder.retry(lambda: self._first_seen.judge(seen, now))
            self._detector.correlator.firsts.dropped += judged.left_out
            if judged.alerts:
                self._recorder.record(judged.alerts)
            self._recorder.retry(lambda: self._first_seen.remember(judged, now))

    def _gather(self, verdicts: Sequence[Verdict]) -> None:
        if not verdicts:
            return
        alerts = self._alerts(verdicts)
        self._gathered += alerts
        if len(self._gathered) >= MAX_GATHERED or time.monotonic() >= self._next_store:
            self._store()
        else:
            self._recorder.add_waiting(alerts, self._waiting)

    def _store(self) -> None:
        if self._gathered:
            self._recorder.record(self._gathered)
            self._gathered = []
            self._next_store = time.monotonic() + self._gather_seconds
        if not self._detector.is_waiting:
            self._recorder.clear_waiting()

    def _on_waiting(self, verdicts: Sequence[Verdict]) -> None:
        self._recorder.add_waiting(self._alerts(verdicts), self._waiting)

    def _waiting(self) -> list[Alert]:
        return [*self._gathered, *self._alerts(self._detector.waiting())]

    def _on_rejected(self, line: Rejected) -> None:
        text = f"rejected a line of {len(line.raw)} bytes: {line.reason}"
        self._reported.report("rejected", logging.WARNING, text)
        try:
            self._rejected_lines.add(line)
        except OSError as error:
            self._reported.report("--rejected", logging.ERROR, f"--rejected: {error.strerror}")

    def _on_rule_error(self, name: str, error: Exception) -> None:
        self._reported.report(f"rule {name}", logging.ERROR, f"rule {name} raised {type(error).__name__}")

    def _report_dropped(self) -> None:
        dropped = self.counts.groups_dropped
        if dropped > self._dropped:
            text = f"{dropped - self._dropped} counts were given up at a low number, because there were too many groups"
            self._reported.report("groups dropped", logging.WARNING, text)
            self._dropped = dropped
        if self.counts.future > self._future:
            text = (
                f"{self.counts.future - self._future} matches were not counted: their times are more than an hour ahead"
            )
            self._reported.report("future times", logging.WARNING, text)
            self._future = self.counts.future

    def _write_figures(self, *, final: bool = False) -> None:
        try:
            self._figures.write(self.counts, self._recorder.new_alerts.total(), final=final)
        except OSError as error:
            self._reported.report("--stats", logging.ERROR, f"--stats: {error.strerror}")

    def _alerts(self, verdicts: Sequence[Verdict]) -> list[Alert]:
        return [alert_of(verdict, self._detector.count_rule_error) for verdict in verdicts]
