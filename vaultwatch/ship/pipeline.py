"""Turn the bytes of the input into frames and heartbeats."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from vaultwatch.frames import MAX_LINES_BYTES
from vaultwatch.handler.log import logger
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Arrival, Batch, Gatherer
from vaultwatch.ship.options import Pace
from vaultwatch.ship.reading import Block, LineReader


class Pipeline:
    """Gathers lines, frames batches when they are full or due, and sends heartbeats in between.

    It is a `vaultwatch.handler.stdin.Consumer`.
    """

    def __init__(self, gatherer: Gatherer, framer: Framer, pace: Pace) -> None:
        self._reader = LineReader()
        self._gatherer = gatherer
        self._framer = framer
        self._pace = pace
        self._heartbeat_due = time.monotonic()
        self._full_at_bytes = framer.target_bytes

    def do_due(self) -> None:
        """Frame a batch that is due, and send a heartbeat that is due."""
        now = time.monotonic()
        is_heartbeat_due = now >= self._heartbeat_due
        if is_heartbeat_due or (self._gatherer.due is not None and now >= self._gatherer.due):
            self._frame_gathered()
        if is_heartbeat_due:
            self._heartbeat_due = time.monotonic() + self._pace.heartbeat_seconds
            self._framer.heartbeat(_now().utc)

    @property
    def seconds_to_next(self) -> float:
        """Seconds until the next batch or heartbeat is due."""
        due = self._heartbeat_due if self._gatherer.due is None else min(self._heartbeat_due, self._gatherer.due)
        return due - time.monotonic()

    def feed(self, chunk: bytes) -> None:
        """Gather the lines that the chunk completes."""
        for block in self._reader.feed(chunk):
            self._add(block)

    def finish(self) -> None:
        """Frame everything that was gathered, and send the final heartbeat."""
        for block in self._reader.rest():
            self._add(block)
        self._frame_gathered(everything=True)
        self._framer.heartbeat(_now().utc, final=True)

    def _add(self, block: Block) -> None:
        now = _now()
        if self._gatherer.size + len(block) > MAX_LINES_BYTES:
            self._frame_gathered(everything=True)
        if len(block) > MAX_LINES_BYTES:
            self._frame(Batch(block, now.utc, now.utc))
            return
        self._gatherer.add(block, now)
        if self._gatherer.size >= self._full_at_bytes:
            self._frame_gathered()

    def _frame_gathered(self, *, everything: bool = False) -> None:
        batch = self._gatherer.take(_now(), everything=everything)
        # Only incomplete messages are left: looking at them again makes no sense before much more has arrived.
        self._full_at_bytes = self._gatherer.size + self._framer.target_bytes
        if batch is not None:
            self._frame(batch)

    def _frame(self, batch: Batch) -> None:
        """Frame a batch; after any failure, such as one of memory, keep it and try again."""
        while True:
            try:
                self._framer.send(batch)
            except Exception as error:  # noqa: BLE001 (no line may be lost: any failure is retried)
                text = "%s: %d bytes of lines wait to be framed; reading is paused"
                logger.error(text, error, len(batch.lines), exc_info=True)
                time.sleep(self._pace.settings_retry_seconds)
            else:
                return


def _now() -> Arrival:
    return Arrival(time.monotonic(), datetime.now(UTC))
