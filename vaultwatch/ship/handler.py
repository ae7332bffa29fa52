"""The handler: from its first byte of input to the last.

syslog-ng starts a handler that ends again at once, and each start swallows a pipe full of lines. So nothing is read
before everything needed is there, and once something is read only the end of the input ends it. What it has read and
Kinesis has not yet accepted is lost with a `kill -9`: at most the pipe (64 KiB), what is gathered (1 s, 8 MiB), and
the outbox (8 MiB encoded).
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Literal

from vaultwatch.frames import MAX_LINES_BYTES
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
from vaultwatch.ship.aws import Clients
from vaultwatch.ship.checks import notes, problems
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Arrival, Batch, Gatherer, LineGatherer, MessageGatherer
from vaultwatch.ship.options import Pace, ShipOptions
from vaultwatch.ship.outbox import Outbox
from vaultwatch.ship.oversize import BucketStore, FolderStore
from vaultwatch.ship.reading import Block, LineReader
from vaultwatch.ship.sending import Sender, drained
from vaultwatch.ship.timeline import Timeline


def run(options: ShipOptions, stdin: int = 0) -> int:
    """Read lines from a file descriptor to its end and send them as frames; see `ShipOptions`.

    Returns
    -------
    int
        0 when all was accepted (or the settings are right, with `check_config`), 2 when they are not.

    Raises
    ------
    SettingError
        The descriptor is closed.
    """
    if options.check_config:
        return _check(options)
    check_open(stdin)
    ignore_signals()
    with logging_to("vaultwatch-ship", options.log_file):
        if not _wait_for_settings(options, stdin):
            return 0
        with _lock(options) as lock:
            _ship(options, stdin, begun(lock))
    return 0


def _check(options: ShipOptions) -> int:
    """Say what is wrong; what passes by itself (no network yet) must not keep a log server from starting."""
    found = problems(options, Clients(options.pace))
    for text in [problem.text for problem in found] + notes(options):
        sys.stderr.write(f"vaultwatch ship: {text}\n")
    return 2 if any(problem.permanent for problem in found) else 0


def _wait_for_settings(options: ShipOptions, stdin: int) -> bool:
    """Wait, without reading, until all is right; False when the input ended first and left nothing."""
    complaints = Complaints(options.pace.complaint_seconds)
    clients = Clients(options.pace)
    while found := problems(options, clients):
        for problem in found:
            complaints.complain(problem.text, logging.ERROR, f"{problem.text}: reads nothing until this is repaired")
        clients.renew()
        if ended_empty(stdin, options.pace.settings_retry_seconds):
            logger.info("the input ended before anything was read; nothing was in it")
            return False
    clients.renew()
    complaints.settle("the settings are right")
    for note in notes(options):
        logger.warning("%s", note)
    return True


@contextmanager
def _lock(options: ShipOptions) -> Iterator[int]:
    """Hold this source's and stream's lock, waiting without end for a predecessor that still drains."""
    descriptor = options.open_lock()
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("reads nothing until the predecessor, which holds %s, has sent all", options.lock_file)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _ship(options: ShipOptions, stdin: int, begun_at: str) -> None:
    outbox = Outbox()
    sender = Sender(options.stream, outbox, options.pace)
    gatherer: Gatherer = (LineGatherer if options.source == "audit" else MessageGatherer)(options.pace)
    with closing(_store(options)) as store:
        timeline = Timeline(begun_at) if options.source == "server" else None
        framer = Framer(_identity(options), store, gatherer.middle, outbox.put, timeline=timeline)
        sender.start()
        logger.info("sends %s lines to stream %s", options.source, options.stream)
        try:
            _Loop(stdin, gatherer, framer, options.pace).run()
        finally:
            drained(sender, outbox)
    logger.info("ends: all was accepted")


def _store(options: ShipOptions) -> BucketStore | FolderStore:
    if options.oversize_bucket:
        return BucketStore(options.oversize_bucket, options.pace)
    return FolderStore(options.state_directory / "oversize", options.pace)


def _identity(options: ShipOptions) -> tuple[Literal["audit", "server"], str, uuid.UUID]:
    return "server" if options.source == "server" else "audit", socket.gethostname(), uuid.uuid4()


def _now() -> Arrival:
    return Arrival(time.monotonic(), datetime.now(UTC))


class _Loop:
    """Reads whatever is there, and sends whatever is due."""

    def __init__(self, stdin: int, gatherer: Gatherer, framer: Framer, pace: Pace) -> None:
        self._stdin = stdin
        self._reader = LineReader()
        self._gatherer = gatherer
        self._framer = framer
        self._pace = pace
        self._heartbeat_due = time.monotonic()
        self._full_at_bytes = framer.target_bytes

    def run(self) -> None:
        """Read to the end of the input, then send what was gathered and a final heartbeat."""
        poll = select.poll()
        poll.register(self._stdin, select.POLLIN)
        ended = False
        while not ended:
            self._send_due()
            if poll.poll(self._milliseconds()):
                ended = self._read()
        for block in self._reader.rest():
            self._add(block)
        self._send(everything=True)
        self._framer.heartbeat(_now().utc, final=True)

    def _milliseconds(self) -> float:
        due = self._heartbeat_due if self._gatherer.due is None else min(self._heartbeat_due, self._gatherer.due)
        return max(0.0, (due - time.monotonic()) * 1000)

    def _read(self) -> bool:
        """Read what is there; True at the end of the input."""
        chunk = read_some(self._stdin)
        for block in self._reader.feed(chunk or b""):
            self._add(block)
        return chunk == b""

    def _add(self, block: Block) -> None:
        now = _now()
        if self._gatherer.size + len(block) > MAX_LINES_BYTES:
            self._send(everything=True)
        if len(block) > MAX_LINES_BYTES:
            self._frame(Batch(block, now.utc, now.utc))
            return
        self._gatherer.add(block, now)
        if self._gatherer.size >= self._full_at_bytes:
            self._send()

    def _send_due(self) -> None:
        now = time.monotonic()
        beats = now >= self._heartbeat_due
        if beats or (self._gatherer.due is not None and now >= self._gatherer.due):
            self._send()
        if beats:
            self._heartbeat_due = time.monotonic() + self._pace.heartbeat_seconds
            self._framer.heartbeat(_now().utc)

    def _send(self, *, everything: bool = False) -> None:
        batch = self._gatherer.take(_now(), everything=everything)
        # What is left are messages that go on: no use looking at them again before much more has come.
        self._full_at_bytes = self._gatherer.size + self._framer.target_bytes
        if batch is not None:
            self._frame(batch)

    def _frame(self, batch: Batch) -> None:
        """Frame a batch; out of memory, say, it is kept and tried again rather than lost."""
        while True:
            try:
                self._framer.send(batch)
            except Exception as error:  # noqa: BLE001 (no line may be lost to whatever it is)
                logger.error("%s: %d bytes wait to be framed; nothing is read", error, len(batch.lines), exc_info=True)
                time.sleep(self._pace.settings_retry_seconds)
            else:
                return
