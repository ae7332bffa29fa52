"""Frames that are encoded and not yet accepted: the only memory that an outage may fill."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Condition
from typing import NamedTuple

MAX_IN_FLIGHT_BYTES = 8 * 1024 * 1024


class Parcel(NamedTuple):
    """One Kinesis record."""

    partition_key: str
    data: bytes

    @property
    def size(self) -> int:
        """What Kinesis counts: data and partition key, in bytes."""
        return len(self.data) + len(self.partition_key)


class Outbox:
    """A queue bounded in bytes; what was taken counts until it is released."""

    def __init__(self, max_bytes: int = MAX_IN_FLIGHT_BYTES) -> None:
        self._changed = Condition()
        self._queue: deque[Parcel] = deque()
        self._max_bytes = max_bytes
        self._in_flight_bytes = 0
        self._closed = False

    def put(self, parcel: Parcel) -> None:
        """Add a parcel, waiting without end until there is room; a parcel too large for all fits when all is gone."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._in_flight_bytes or self._in_flight_bytes + parcel.size <= self._max_bytes
            )
            self._queue.append(parcel)
            self._in_flight_bytes += parcel.size
            self._changed.notify_all()

    def take(self, max_parcels: int, max_bytes: int, *, wait: bool) -> list[Parcel]:
        """Take what fits into one call, oldest first; `wait` for at least one. Nothing is left when it gives none."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._queue or self._closed)
            taken: list[Parcel] = []
            while self._queue and len(taken) < max_parcels and self._queue[0].size <= max_bytes:
                taken.append(self._queue.popleft())
                max_bytes -= taken[-1].size
            return taken

    def release(self, accepted: Iterable[Parcel]) -> None:
        """Make room: these were accepted."""
        with self._changed:
            self._in_flight_bytes -= sum(parcel.size for parcel in accepted)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put; `take` gives what is left and then nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
