"""`vaultwatch watch` as a program() handler: reads, evaluates and stores; threads that read the store notify.

When the store cannot take an alert (a full disk), reading stops and the backlog stays in syslog-ng's disk buffer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.verdict import Verdict
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.handler import run as handler
from vaultwatch.handler.checks import Problem
from vaultwatch.handler.log import logger
from vaultwatch.handler.stdin import consume
from vaultwatch.notify.sender import Sender
from vaultwatch.notify.sink import route
from vaultwatch.problem_log import ProblemLog
from vaultwatch.reading.identity import log_start
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.files import Figures, RejectedLines
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions, notes, problems

_T = TypeVar("_T")


def run(options: WatchOptions, stdin: int = 0) -> int:
    """Evaluate the lines of a file descriptor, to its end.

    Returns:
        Always 0.

    Raises:
        SettingError: The descriptor is closed.
    """
    return handler.run(WatchHandler(options), stdin)


def check_config(options: WatchOptions) -> int:
    """Write what is wrong with the settings to stderr; return 2 if there is anything, else 0."""
    return handler.check(WatchHandler(options))


class WatchHandler:
    """What `watch` adds to the life of a handler; see `vaultwatch.handler.run.Handler`."""

    name = "watch"

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self.pace = options.pace

    @property
    def log_file(self) -> Path | None:
        return self._options.log_file

    @property
    def lock_file(self) -> Path:
        return self._options.lock_file

    def problems(self) -> list[Problem]:
        return problems(self._options)

    def notes(self) -> list[str]:
        return notes(self._options)

    def process(self, stdin: int, *, first: bool) -> None:
        options = self._options
        sinks = options.sinks()
        with closing(SqliteStore(options.store_file, [route(sink) for sink in sinks])) as store:
            sender = Sender(store, sinks, pause_seconds=self.pace.sink_pause_seconds)
            sender.start()
            logger.info("evaluates %s lines", options.source)
            try:
                evaluation = _Evaluation(options, store, sender, log_start(from_beginning=first))
                evaluation.recover()
                consume(stdin, evaluation)
            finally:
                all_sent = sender.stop(self.pace.drain_seconds)
                for sink in sinks:
                    if (close := getattr(sink, "close", None)) is not None:
                        close()
        logger.info("exits: %s", "all notifications are sent" if all_sent else _SENT_LATER)


_SENT_LATER = "the notifications that are not sent yet are sent after the next start"


class _Evaluation:
    """Evaluates the input, and stores what it finds before it reads on; see `vaultwatch.handler.stdin.Consumer`."""

    def __init__(self, options: WatchOptions, store: SqliteStore, sender: Sender, log_start: str) -> None:
        self._options = options
        self._store = store
        self._sender = sender
        self._reported = ProblemLog(options.pace.report_seconds)
        self._store_reported = ProblemLog(options.pace.report_seconds)
        self._journal = Journal(options.journal_file)
        self._splitter = LineSplitter()
        self._alerts = 0
        self._figures = Figures(options.stats, options.pace.stats_seconds)
        self._kept_rejects = RejectedLines(options.rejected)
        self._detector = Detector(
            options.load_rules(),
            source="server" if options.source == "server" else "audit",
            zone=options.load_zone(),
            on_rejected=self._on_rejected,
            on_rule_error=self._on_rule_error,
            on_waiting=self._on_waiting,
            wait_seconds=options.pace.wait_for_response_seconds,
        )
        self._detector.begin_log(begun=log_start)

    def do_due(self) -> None:
        """Store the alerts that have waited long enough, and write the figures if it is time to."""
        self._keep(self._detector.due())
        self._write_figures()

    @property
    def seconds_to_next(self) -> float:
        """Seconds until an alert or the figures are due."""
        waits = [self._figures.seconds_to_next]
        if self._detector.next_due is not None:
            waits.append(self._detector.next_due - time.monotonic())
        return min(waits)

    def feed(self, chunk: bytes) -> None:
        """Evaluate the lines that the chunk completes."""
        self._keep(self._detector.feed(self._splitter.push(chunk)))

    def finish(self) -> None:
        """Evaluate a last line without a newline, and store whatever still waits."""
        self._keep(self._detector.feed(self._splitter.flush()))
        self._keep(self._detector.flush())
        self._write_figures(final=True)

    def recover(self) -> None:
        """What waited for its response when an earlier process was killed is kept now, without it.

        Nothing is read before both the journal and the store answer.
        """
        left, torn = self._persistently(self._journal.read)
        if torn:
            logger.error("%s: %d alerts torn by a kill cannot be read", self._options.journal_file, torn)
        self._record(left)

    def _keep(self, verdicts: Sequence[Verdict]) -> None:
        """Store the alerts of these verdicts, however long it takes; then nothing of them is in this process only."""
        if verdicts:
            self._record([alert_of(verdict) for verdict in verdicts])
        if not self._detector.is_waiting:
            self._to_journal(self._journal.clear)

    def _record(self, alerts: Sequence[Alert]) -> None:
        filings = [file_alert(alert) for alert in alerts]
        recorded = self._persistently(lambda: self._store.record(filings, time.time()))
        self._alerts += sum(one.new for one in recorded)
        self._sender.notify()

    def _persistently(self, action: Callable[[], _T]) -> _T:
        while True:
            try:
                result = action()
            except (StoreError, OSError) as error:
                self._store_reported.report(
                    "state", logging.ERROR, f"--state: {error}: reading is paused until this is fixed"
                )
                time.sleep(self._options.pace.store_retry_seconds)
            else:
                self._store_reported.resolve("--state: can be written again")
                return result

    def _on_waiting(self, verdicts: Sequence[Verdict]) -> None:
        alerts = [alert_of(verdict) for verdict in verdicts]
        self._to_journal(lambda: self._journal.add(alerts, lambda: [*map(alert_of, self._detector.waiting())]))

    def _to_journal(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self._reported.report("journal", logging.ERROR, f"{self._options.journal_file}: {error.strerror}")

    def _on_rejected(self, line: Rejected) -> None:
        self._reported.report("rejected", logging.WARNING, f"rejects a line of {len(line.raw)} bytes: {line.reason}")
        try:
            self._kept_rejects.add(line)
        except OSError as error:
            self._reported.report("--rejected", logging.ERROR, f"--rejected: {error.strerror}")

    def _on_rule_error(self, name: str, error: Exception) -> None:
        self._reported.report(f"rule {name}", logging.ERROR, f"rule {name} raised {type(error).__name__}")

    def _write_figures(self, final: bool = False) -> None:
        try:
            self._figures.write(self._detector.counts, self._alerts, final)
        except OSError as error:
            self._reported.report("--stats", logging.ERROR, f"--stats: {error.strerror}")
