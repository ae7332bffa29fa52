"""Encode batches as frames with consecutive sequence numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec.structs import replace

from vaultwatch.frames import (
    MAX_LINES_BYTES,
    MAX_RECORD_BYTES,
    Frame,
    Heartbeat,
    Records,
    Reference,
    encode,
)
from vaultwatch.handler.counters import Counters
from vaultwatch.ship.gathering import Batch
from vaultwatch.ship.outbox import StreamRecord
from vaultwatch.ship.reading import Block
from vaultwatch.ship.timeline import Timeline

_ROOM = 0.9
"""How full a frame is planned to be: the next lines may compress a little worse than the last ones."""

Identity = tuple[Literal["audit", "server"], str, UUID]
"""Log source, host name of the log server, and process: the same in all frames of a handler."""


class OversizeStore(Protocol):
    """Stores lines that are too large for a Kinesis record."""

    def keep(self, lines: Block, at: datetime) -> Reference:
        """Store the lines, with retries without a limit, and return a reference to them."""


class Framer:
    """Encodes batches and heartbeats and puts them into the outbox.

    A heartbeat counts the lines of all frames with lower sequence numbers.

    Attributes:
        counters: The lines of all frames so far.
    """

    def __init__(
        self,
        identity: Identity,
        oversize: OversizeStore,
        middle: Callable[[bytes], int],
        put: Callable[[StreamRecord], None],
        max_record_bytes: int = MAX_RECORD_BYTES,
        timeline: Timeline | None = None,
    ) -> None:
        self._source, self._log_server, self._process = identity
        self._oversize = oversize
        self._middle = middle
        self._put = put
        self._max_record_bytes = max_record_bytes
        self._timeline = timeline
        self.counters = Counters()
        self._sequence = 0
        self.target_bytes = max_record_bytes
        """How many bytes of lines fill a frame, estimated from how well the last lines compressed."""

    def send(self, batch: Batch) -> None:
        """Send a batch in as few frames as possible, divided only between lines (or messages)."""
        lines = batch.lines
        if isinstance(lines, bytearray) or len(lines) > MAX_LINES_BYTES:
            self._divide(batch)
            return
        data = self._encode(Records(lines), batch.first, batch.last, lines)
        self._adjust_target(len(lines), len(data))
        if len(data) > self._max_record_bytes:
            self._divide(batch)
            return
        self._count(lines)
        self._put_next(data)

    def heartbeat(self, now: datetime, *, final: bool = False) -> None:
        """Send a heartbeat with the counters of all frames before it."""
        self._put_next(self._encode(Heartbeat(self.counters.rows(), final), now, now))

    def _divide(self, batch: Batch) -> None:
        cut = 0 if isinstance(batch.lines, bytearray) else self._middle(batch.lines)
        if cut:
            self.send(batch._replace(lines=batch.lines[:cut]))
            self.send(batch._replace(lines=batch.lines[cut:]))
            return
        reference = self._oversize.keep(batch.lines, batch.first)
        data = self._encode(reference, batch.first, batch.last, batch.lines)
        self._count(batch.lines)
        self._put_next(data)

    def _count(self, lines: Block) -> None:
        self.counters.add(lines)
        if self._timeline is not None:
            self._timeline.advance(bytes(lines))

    def _adjust_target(self, raw_bytes: int, encoded_bytes: int) -> None:
        if raw_bytes * 4 >= self._max_record_bytes:  # a small frame compresses worse than a full one will
            ideal = int(_ROOM * self._max_record_bytes * raw_bytes / encoded_bytes)
            self.target_bytes = min(ideal, MAX_LINES_BYTES // 2)

    def _encode(
        self, content: Records | Heartbeat | Reference, first: datetime, last: datetime, lines: Block = b""
    ) -> bytes:
        frame = Frame(self._source, self._log_server, self._process, self._sequence, first, last, content)
        if self._timeline is not None and lines:
            frame = replace(frame, log_start=self._timeline.log_start, before=self._timeline.before(bytes(lines)))
        return encode(frame)

    def _put_next(self, data: bytes) -> None:
        """Pass a frame on; Kinesis distributes records by the MD5 of their partition keys, so any distinct keys do."""
        record = StreamRecord(f"{self._process}-{self._sequence}", data)
        self._sequence += 1
        self._put(record)
