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
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.delivery.groups import file_alert
from vaultwatch.delivery.sender import Sender
from vaultwatch.delivery.sink import route
from vaultwatch.detect import Detector
from vaultwatch.lines import LineSplitter
from vaultwatch.program import Complaints, logger, logging_to
from vaultwatch.records import Rejected
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions, notes, problems

READ_BYTES = 64 * 1024
MAX_REJECTED_BYTES = 64 * 1024 * 1024
COMPLAINT_SECONDS = 60.0


def check_config(options: WatchOptions) -> int:
    """Say what is wrong with the settings on stderr; 0 when they are right, 2 when not."""
    found = problems(options)
    for text in [*found, *notes(options)]:
        sys.stderr.write(f"vaultwatch watch: {text}\n")
    return 2 if found else 0


def run(options: WatchOptions, stdin: int = 0) -> int:
    """Evaluate lines from a file descriptor to its end; see `WatchOptions`. Always 0."""
    _ignore_signals()
    with logging_to("vaultwatch-watch", options.log_file):
        complaints = Complaints(COMPLAINT_SECONDS)
        _wait_for_settings(options, complaints)
        with _lock(options):
            _watch(options, stdin, complaints)
    return 0


def _ignore_signals() -> None:
    """SIGTERM comes with the end of the input, which is what counts: until then every line is still ours to read."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _wait_for_settings(options: WatchOptions, complaints: Complaints) -> None:
    while found := problems(options):
        for text in found:
            complaints.complain(text, logging.ERROR, f"{text}: reads nothing until this is repaired")
        time.sleep(options.pace.settings_retry_seconds)
    complaints.settle("the settings are right")
    for text in notes(options):
        logger.warning("%s", text)


@contextmanager
def _lock(options: WatchOptions) -> Iterator[None]:
    """Hold the state's lock, waiting without end for a predecessor that still drains."""
    descriptor = options.open_lock()
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("reads nothing while another process holds %s", options.lock_file)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _watch(options: WatchOptions, stdin: int, complaints: Complaints) -> None:
    sinks = options.sinks()
    with closing(SqliteStore(options.store_file, [route(sink) for sink in sinks])) as store:
        sender = Sender(store, sinks)
        sender.start()
        logger.info("watches %s lines", options.source)
        try:
            _Loop(options, stdin, store, sender, complaints).run()
        finally:
            drained = sender.stop(options.pace.drain_seconds)
            for sink in sinks:
                if (close := getattr(sink, "close", None)) is not None:
                    close()
    logger.info("ends: %s", "all is told" if drained else "what is not told yet is told after the next start")


class _Loop:
    """Reads whatever is there, evaluates it, and keeps what it finds before it reads on."""

    def __init__(
        self, options: WatchOptions, stdin: int, store: SqliteStore, sender: Sender, complaints: Complaints
    ) -> None:
        self._options = options
        self._stdin = stdin
        self._store = store
        self._sender = sender
        self._complaints = complaints
        self._journal = Journal(options.journal_file)
        self._splitter = LineSplitter()
        self._alerts = 0
        self._figures = _Figures(options.stats, options.pace.stats_seconds)
        self._kept_rejects = _RejectedLines(options.rejected)
        self._detector = Detector(
            options.load_rules(),
            source="server" if options.source == "server" else "audit",
            zone=options.load_zone(),
            on_rejected=self._on_rejected,
            on_rule_error=self._on_rule_error,
            on_waiting=self._on_waiting,
            wait_seconds=options.pace.wait_for_response_seconds,
        )

    def run(self) -> None:
        """Read to the end of the input, and keep what still waits."""
        self._recover()
        poll = select.poll()
        poll.register(self._stdin, select.POLLIN)
        ended = False
        while not ended:
            self._keep(self._detector.due())
            self._write_figures()
            if poll.poll(self._milliseconds()):
                ended = self._read()
        self._keep(self._detector.feed(self._splitter.flush()))
        self._keep(self._detector.flush())
        self._write_figures(final=True)

    def _milliseconds(self) -> float:
        due = self._detector.next_due
        waits = (
            [self._figures.seconds_to_next] if due is None else [due - time.monotonic(), self._figures.seconds_to_next]
        )
        return max(0.0, min(waits) * 1000)

    def _read(self) -> bool:
        """Read and evaluate what is there; True at the end of the input."""
        try:
            chunk = os.read(self._stdin, READ_BYTES)
        except OSError as error:
            logger.error("the input cannot be read any more: %s", error.strerror)
            return True
        if chunk:
            self._keep(self._detector.feed(self._splitter.push(chunk)))
        return not chunk

    def _recover(self) -> None:
        """What waited for its response when an earlier process was killed is kept now, without it."""
        try:
            left, torn = self._journal.read()
        except OSError as error:
            logger.error("%s: %s", self._options.journal_file, error.strerror)
            return
        if torn:
            logger.error("%s: %d alerts torn by a kill cannot be read", self._options.journal_file, torn)
        self._keep(left)

    def _keep(self, alerts: Sequence[Alert]) -> None:
        """Store the alerts, however long it takes; then nothing of them is in this process only."""
        if alerts:
            filings = [file_alert(alert) for alert in alerts]
            while True:
                try:
                    recorded = self._store.record(filings, time.time())
                    break
                except StoreError as error:
                    self._complaints.complain("store", logging.ERROR, f"{error}: reads nothing until it is kept")
                    time.sleep(self._options.pace.store_retry_seconds)
            self._alerts += sum(one.new for one in recorded)
            self._sender.notify()
        if not self._detector.is_waiting:
            self._to_journal(self._journal.clear)

    def _on_waiting(self, alerts: Sequence[Alert]) -> None:
        self._to_journal(lambda: self._journal.add(alerts, self._detector.waiting))

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
            self._figures.write(self._detector, self._alerts, final)
        except OSError as error:
            self._complaints.complain("--stats", logging.ERROR, f"--stats: {error.strerror}")


class _Figures:
    """`--stats FILE`: what has been read and found so far, rewritten as a whole."""

    def __init__(self, path: Path | None, every_seconds: float) -> None:
        self._path = path
        self._every_seconds = every_seconds
        self._next = 0.0
        self._written = b""

    @property
    def seconds_to_next(self) -> float:
        return max(0.0, self._next - time.monotonic()) if self._path else 3600.0

    def write(self, detector: Detector, alerts: int, final: bool) -> None:
        if self._path is None or (not final and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + self._every_seconds
        counts = {**msgspec.structs.asdict(detector.counts), "alerts": alerts, "ended": final}
        body = msgspec.json.encode(counts) + b"\n"
        if body == self._written:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_bytes(body)
        new.replace(self._path)
        self._written = body


class _RejectedLines:
    """`--rejected FILE`: rejected lines with their reasons; at 64 MiB the file is moved to FILE.1 and begun anew."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def add(self, line: Rejected) -> None:
        if self._path is None:
            return
        kept = {"reason": line.reason, "line": line.raw.decode("utf-8", "backslashreplace")}
        with self._path.open("ab") as file:
            full = file.tell() > MAX_REJECTED_BYTES
            file.write(msgspec.json.encode(kept) + b"\n")
        if full:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
