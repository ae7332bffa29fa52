"""The Memory contract: what correlations that learn have seen, for as long as alerts are remembered.

Noting something twice changes nothing but the time until which it is remembered, so any number of processes can do it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Memory(Protocol):
    """The contract. If a method fails, it raises `StoreError` and nothing else. Times are in seconds of the epoch."""

    def seen(self, names: Collection[str], now: float) -> dict[str, float]:
        """Return which of these names were seen, with the time until which each is remembered."""
        ...

    def remember(self, names: Collection[str], until: float) -> None:
        """Note that these names were seen, and remember them until a time."""
        ...

    def rules_live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        """Return since when each of these rules is live, by name, with the digest that it has now: at most until now.

        A rule that is not known to be live is live from now on.
        """
        ...
