"""What an audit device logged: whether its requests have responses, and whether another device logged the same."""

from __future__ import annotations

import hashlib
import heapq
import secrets

import msgspec

from vaultwatch.findings.calls import Call
from vaultwatch.report.times import Times

_MOST_OPEN = 20_000
_SKETCH = 256
_KEY = secrets.token_bytes(16)
"""Makes the digests of a run, so that nobody can write entries with the same ones."""


class Open(msgspec.Struct):
    """Events that wait for their other entry; beyond a bound, the oldest are counted as if it never came."""

    waiting: dict[int, None] = msgspec.field(default_factory=dict)
    dropped: int = 0

    @property
    def count(self) -> int:
        """How many have no other entry."""
        return self.dropped + len(self.waiting)

    def add(self, event: int) -> None:
        """Let an event wait."""
        self.waiting[event] = None
        if len(self.waiting) > _MOST_OPEN:
            del self.waiting[next(iter(self.waiting))]
            self.dropped += 1

    def remove(self, event: int) -> bool:
        """Remove an event; return whether it waited."""
        found = event in self.waiting
        if found:
            del self.waiting[event]
        return found


class Device(msgspec.Struct):
    """What one audit device logged.

    Two devices with equal entries have equal `digest`; two of the same server have some of `lowest` in common.

    Attributes:
        name: The log that is written to, or cluster, node and lane.
        entries: How many it logged.
        requests: Those that wait for a response.
        responses: Those whose request was not read.
        times: When.
        digest: The sum of the digests of its entries.
        lowest: The lowest digests of its events, negated.
    """

    name: str
    entries: int = 0
    requests: Open = msgspec.field(default_factory=Open)
    responses: Open = msgspec.field(default_factory=Open)
    times: Times = msgspec.field(default_factory=Times)
    digest: int = 0
    lowest: list[int] = msgspec.field(default_factory=list)

    def add(self, call: Call, moment: float | None) -> None:
        """Count an entry, logged at this moment (seconds since 1970)."""
        self.entries += 1
        self.times.add(moment)
        event = _digest(call.event or call.time)
        self.digest = (self.digest + 2 * event + call.is_response) % (1 << 64)
        self._sketch(event)
        if call.event and not call.stands_alone:
            here, there = (self.responses, self.requests) if call.is_response else (self.requests, self.responses)
            if not there.remove(event):
                here.add(event)

    def logs_same_server_as(self, other: Device) -> bool:
        """Return whether both logged some of the same entries."""
        return not set(self.lowest).isdisjoint(other.lowest)

    def equals(self, other: Device) -> bool:
        """Return whether both logged the same entries."""
        return (self.entries, self.digest) == (other.entries, other.digest)

    def _sketch(self, event: int) -> None:
        if len(self.lowest) < _SKETCH:
            heapq.heappush(self.lowest, -event)
        elif -event > self.lowest[0] and -event not in self.lowest:
            heapq.heapreplace(self.lowest, -event)


def _digest(event: str) -> int:
    text = event.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=_KEY).digest(), "big")
