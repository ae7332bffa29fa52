"""The Counts contract: what several processes have counted in one window, each thing once.

Adding is a union of sets, so a repeat changes nothing, and of two processes that add at the same time the later one
gets what both have counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Shared(NamedTuple):
    """What all processes together have counted in a window.

    Attributes:
        hashes: The 8-byte hashes of what was counted; empty once the window has reached its threshold.
        halves: The numbers of the half timespans in which something was counted.
        reached: Whether the window is known to have reached its threshold.
    """

    hashes: frozenset[int] = frozenset()
    halves: frozenset[int] = frozenset()
    reached: bool = False


class Counts(Protocol):
    """The contract. If a method fails, it raises `StoreError` and nothing else."""

    def add(self, window: str, hashes: Collection[int], halves: Collection[int], expires_at: float) -> Shared:
        """Add what one process has counted in a window, and return what all have.

        Args:
            window: Identifies the window.
            hashes: The 8-byte hashes of what was counted; at least one.
            halves: The numbers of the half timespans in which it was counted; at least one.
            expires_at: When the window may be forgotten, in seconds since the epoch.
        """
        ...

    def mark_reached(self, window: str) -> None:
        """Note that a window has reached its threshold: it takes nothing more."""
        ...
