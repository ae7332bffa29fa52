"""The handler: reads, evaluates, keeps; sending is done by threads that read the store.

syslog-ng starts a handler that ends again at once, and each start swallows a pipe full of lines. So nothing is read
before everything needed is there, and once something is read only the end of the input ends it. When the store cannot
take an alert (a full disk), reading stops and the backlog stays in syslog-ng's disk buffer.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TypeVar

from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.verdict import Verdict
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.handler.stdin import (
    Complaints,
    begun,
    check_open,
    ended_empty,
    ignore_signals,
    logger,
    logging_to,
    read_some,
)
from vaultwatch.notify.sender import Sender
from vaultwatch.notify.sink import route
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.files import Figures, RejectedLines
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions, notes, problems

COMPLAINT_SECONDS = 60.0

_T = TypeVar("_T")


def check_config(options: WatchOptions) -> int:
    """Say what is wrong with the settings on stderr; 0 when they are right, 2 when not."""
    found = problems(options)
    for text in [*found, *notes(options)]:
        sys.stderr.write(f"vaultwatch watch: {text}\n")
    return 2 if found else 0


def run(options: WatchOptions, stdin: int = 0) -> int:
    """Evaluate lines from a file descriptor to its end; see `WatchOptions`. Always 0.

    Raises:
        SettingError: the descriptor is closed.
    """
    check_open(stdin)
    ignore_signals()
    with logging_to("vaultwatch-watch", options.log_file):
        if not _settings_are_right(options, stdin):
            return 0
        with _lock(options, stdin) as held:
            if held is not None:
                _watch(options, stdin, begun(held))
    return 0


def _settings_are_right(options: WatchOptions, stdin: int) -> bool:
    """Wait until they are, reading nothing; False when the input ended meanwhile and nothing was in it."""
    complaints = Complaints(COMPLAINT_SECONDS)
    while found := problems(options):
        for text in found:
            complaints.complain(text, logging.ERROR, f"{text}: reads nothing until this is repaired")
        if ended_empty(stdin, options.pace.settings_retry_seconds):
            logger.info("ends: the input ended with nothing in it")
            return False
    complaints.settle("the settings are right")
    for text in notes(options):
        logger.warning("%s", text)
    return True


@contextmanager
def _lock(options: WatchOptions, stdin: int) -> Iterator[int | None]:
    """Hold the state's lock, waiting for a predecessor that still drains; None when the input ended meanwhile."""
    descriptor = options.open_lock()
    try:
        yield descriptor if _take(descriptor, options, stdin) else None
    finally:
        os.close(descriptor)


def _take(lock: int, options: WatchOptions, stdin: int) -> bool:
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                logger.info("reads nothing while another process holds %s", options.lock_file)
            told = True
        else:
            return True
        if ended_empty(stdin, options.pace.lock_retry_seconds):
            logger.info("ends: the input ended with nothing in it")
            return False


def _watch(options: WatchOptions, stdin: int, begun_at: str) -> None:
    sinks = options.sinks()
    with closing(SqliteStore(options.store_file, [route(sink) for sink in sinks])) as store:
        sender = Sender(store, sinks, pause_seconds=options.pace.sink_pause_seconds)
        sender.start()
        logger.info("watches %s lines", options.source)
        try:
            _Loop(options, stdin, store, sender, begun_at).run()
        finally:
            drained = sender.stop(options.pace.drain_seconds)
            for sink in sinks:
                if (close := getattr(sink, "close", None)) is not None:
                    close()
    logger.info("ends: %s", "all is told" if drained else "what is not told yet is told after the next start")


class _Loop:
    """Reads whatever is there, evaluates it, and keeps what it finds before it reads on."""

    def __init__(
        self, options: WatchOptions, stdin: int, store: SqliteStore, sender: Sender, begun_at: str = ""
    ) -> None:
        self._options = options
        self._stdin = stdin
        self._store = store
        self._sender = sender
        self._complaints = Complaints(COMPLAINT_SECONDS)
        self._standstill = Complaints(COMPLAINT_SECONDS)
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
        self._detector.begin_log(begun=begun_at)

    def run(self) -> None:
        """Read to the end of the input, and keep what still waits."""
        self._recover()
        poll = select.poll()
        poll.register(self._stdin, select.POLLIN)
        ended = False
        while not ended:
            self._keep(self._safely(self._detector.due))
            self._write_figures()
            if poll.poll(self._milliseconds()):
                ended = self._read()
        self._keep(self._evaluate(self._splitter.flush()))
        self._keep(self._safely(self._detector.flush))
        self._write_figures(final=True)

    def _milliseconds(self) -> float:
        waits = [self._figures.seconds_to_next]
        if self._detector.next_due is not None:
            waits.append(self._detector.next_due - time.monotonic())
        return max(0.0, min(waits) * 1000)

    def _read(self) -> bool:
        """Read and evaluate what is there; True at the end of the input."""
        chunk = read_some(self._stdin)
        if chunk:
            self._keep(self._evaluate(self._splitter.push(chunk)))
        return chunk == b""

    def _evaluate(self, lines: list[bytes]) -> list[Alert]:
        """The alerts of these lines. One that nobody foresaw is rejected, and takes no other with it."""
        try:
            return [alert_of(verdict) for verdict in self._detector.feed(lines)]
        except Exception as error:  # noqa: BLE001  the process's edge: it must go on, whatever a line does to it
            if len(lines) == 1:
                self._detector.counts.rejected += 1
                self._on_rejected(Rejected(lines[0], f"raised {type(error).__name__}"))
                return []
        self._recover()  # what was joined to its response a moment ago is in the journal only
        return [alert for line in lines for alert in self._evaluate([line])]

    def _safely(self, work: Callable[[], list[Verdict]]) -> list[Alert]:
        try:
            return [alert_of(verdict) for verdict in work()]
        except Exception as error:  # noqa: BLE001  as above
            self._complaints.complain("due", logging.ERROR, f"a message raised {type(error).__name__} and is lost")
            return []

    def _recover(self) -> None:
        """What waited for its response when an earlier process was killed is kept now, without it.

        Nothing is read before both the journal and the store answer.
        """
        left, torn = self._persistently(self._journal.read)
        if torn:
            logger.error("%s: %d alerts torn by a kill cannot be read", self._options.journal_file, torn)
        self._record(left)

    def _keep(self, alerts: Sequence[Alert]) -> None:
        """Store the alerts, however long it takes; then nothing of them is in this process only."""
        if alerts:
            self._record(alerts)
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
                self._standstill.complain("state", logging.ERROR, f"--state: {error}: reads nothing until it is kept")
                time.sleep(self._options.pace.store_retry_seconds)
            else:
                self._standstill.settle("the state is kept again")
                return result

    def _on_waiting(self, verdicts: Sequence[Verdict]) -> None:
        alerts = [alert_of(verdict) for verdict in verdicts]
        self._to_journal(lambda: self._journal.add(alerts, lambda: [*map(alert_of, self._detector.waiting())]))

    def _to_journal(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            self._complaints.complain("journal", logging.ERROR, f"{self._options.journal_file}: {error.strerror}")

    def _on_rejected(self, line: Rejected) -> None:
        self._complaints.complain(
            "rejected", logging.WARNING, f"rejects a line of {len(line.raw)} bytes: {line.reason}"
        )
        try:
            self._kept_rejects.add(line)
        except OSError as error:
            self._complaints.complain("--rejected", logging.ERROR, f"--rejected: {error.strerror}")

    def _on_rule_error(self, name: str, error: Exception) -> None:
        self._complaints.complain(f"rule {name}", logging.ERROR, f"rule {name} raised {type(error).__name__}")

    def _write_figures(self, final: bool = False) -> None:
        try:
            self._figures.write(self._detector.counts, self._alerts, final)
        except OSError as error:
            self._complaints.complain("--stats", logging.ERROR, f"--stats: {error.strerror}")
