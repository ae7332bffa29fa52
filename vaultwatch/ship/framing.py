"""Batches into encoded frames, in one sequence."""

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
from vaultwatch.ship.counters import Counters
from vaultwatch.ship.gathering import Batch
from vaultwatch.ship.outbox import Parcel
from vaultwatch.ship.reading import Block
from vaultwatch.ship.timeline import Timeline

_ROOM = 0.9
"""How full a frame is aimed at: the next lines may pack a little worse than the last."""


class OversizeStore(Protocol):
    """Keeps lines that no record can hold."""

    def keep(self, lines: Block, at: datetime) -> Reference:
        """Keep them, however long it takes, and say where."""


class Framer:
    """Encodes batches and heartbeats and hands them on; every frame's counters come before it in the sequence."""

    def __init__(
        self,
        identity: tuple[Literal["audit", "server"], str, UUID],
        oversize: OversizeStore,
        middle: Callable[[bytes], int],
        put: Callable[[Parcel], None],
        max_record_bytes: int = MAX_RECORD_BYTES,
        timeline: Timeline | None = None,
    ) -> None:
        self._source, self._log_server, self._process = identity
        self._oversize = oversize
        self._middle = middle
        self._put = put
        self._max_record_bytes = max_record_bytes
        self._timeline = timeline
        self._counters = Counters()
        self._sequence = 0
        self.target_bytes = max_record_bytes
        """How many bytes of lines fill a frame, by how well the last ones packed."""

    def send(self, batch: Batch) -> None:
        """Send lines in as few frames as they need, divided between lines (or messages) only."""
        lines = batch.lines
        if isinstance(lines, bytearray) or len(lines) > MAX_LINES_BYTES:
            self._divide(batch)
            return
        data = self._encode(Records(lines), batch.first, batch.last, lines)
        self._aim(len(lines), len(data))
        if len(data) > self._max_record_bytes:
            self._divide(batch)
            return
        self._count(lines)
        self._hand_on(data)

    def heartbeat(self, now: datetime, *, final: bool = False) -> None:
        """Send what all frames before this one held."""
        self._hand_on(self._encode(Heartbeat(self._counters.rows(), final), now, now))

    def _divide(self, batch: Batch) -> None:
        cut = 0 if isinstance(batch.lines, bytearray) else self._middle(batch.lines)
        if cut:
            self.send(batch._replace(lines=batch.lines[:cut]))
            self.send(batch._replace(lines=batch.lines[cut:]))
            return
        reference = self._oversize.keep(batch.lines, batch.first)
        data = self._encode(reference, batch.first, batch.last, batch.lines)
        self._count(batch.lines)
        self._hand_on(data)

    def _count(self, lines: Block) -> None:
        self._counters.add(lines)
        if self._timeline is not None:
            self._timeline.advance(bytes(lines))

    def _aim(self, raw: int, packed: int) -> None:
        if raw * 4 >= self._max_record_bytes:  # a small frame packs worse than a full one will
            ideal = int(_ROOM * self._max_record_bytes * raw / packed)
            self.target_bytes = min(ideal, MAX_LINES_BYTES // 2)

    def _encode(
        self, content: Records | Heartbeat | Reference, first: datetime, last: datetime, lines: Block = b""
    ) -> bytes:
        frame = Frame(self._source, self._log_server, self._process, self._sequence, first, last, content)
        if self._timeline is not None and lines:
            frame = replace(frame, begun=self._timeline.begun, before=self._timeline.before(bytes(lines)))
        return encode(frame)

    def _hand_on(self, data: bytes) -> None:
        """Hand on a frame; Kinesis spreads partition keys over its shards by their MD5, so any distinct ones do."""
        parcel = Parcel(f"{self._process}-{self._sequence}", data)
        self._sequence += 1
        self._put(parcel)
