"""Hold encoded frames until Kinesis has accepted them: the only memory that grows during an outage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Condition
from typing import NamedTuple

MAX_IN_FLIGHT_BYTES = 8 * 1024 * 1024


class StreamRecord(NamedTuple):
    """One Kinesis record: an encoded frame and its partition key."""

    partition_key: str
    data: bytes

    @property
    def size(self) -> int:
        """The bytes that Kinesis counts: data and partition key."""
        return len(self.data) + len(self.partition_key)


class Outbox:
    """A queue that is bounded in bytes; a record counts until it is released, even after it was taken."""

    def __init__(self, max_bytes: int = MAX_IN_FLIGHT_BYTES) -> None:
        self._changed = Condition()
        self._queue: deque[StreamRecord] = deque()
        self._max_bytes = max_bytes
        self._in_flight_bytes = 0
        self._closed = False

    def put(self, record: StreamRecord) -> None:
        """Add a record as soon as there is room; one larger than the bound waits until the outbox is empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._in_flight_bytes or self._in_flight_bytes + record.size <= self._max_bytes
            )
            self._queue.append(record)
            self._in_flight_bytes += record.size
            self._changed.notify_all()

    @property
    def in_flight_bytes(self) -> int:
        """The bytes of all records that are not released."""
        return self._in_flight_bytes

    def take(self, max_records: int, max_bytes: int, *, wait: bool) -> list[StreamRecord]:
        """Take the oldest records, as many as fit into one call.

        Args:
            max_records: At most this many.
            max_bytes: At most this many bytes in all.
            wait: Wait for a record. The result is then empty only if the outbox is closed and empty.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._queue or self._closed)
            taken: list[StreamRecord] = []
            while self._queue and len(taken) < max_records and self._queue[0].size <= max_bytes:
                taken.append(self._queue.popleft())
                max_bytes -= taken[-1].size
            return taken

    def release(self, accepted: Iterable[StreamRecord]) -> None:
        """Free the room of records that Kinesis has accepted."""
        with self._changed:
            self._in_flight_bytes -= sum(record.size for record in accepted)
            self._changed.notify_all()

    def close(self) -> None:
        """Mark the end: no record will be added, and `take` returns those that are left and then none."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
