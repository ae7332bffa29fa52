"""Keep the first record of each combination of values that a correlation has not seen before.

Of two records the earlier one is kept, so the order in which they arrive does not matter, and a repeat changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from vaultwatch.detection.counting import Occurrence, Sample
from vaultwatch.detection.windows import joined

MAX_COMBINATIONS = 20_000
"""A few kB each."""


class Combination(NamedTuple):
    """The values of a correlation's `group-by` fields in a record."""

    rule: str
    group: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of the rule and the values, by which stores know it."""
        return hashlib.sha256(joined((self.rule, *self.group)).encode("utf-8", "surrogatepass")).hexdigest()


class First(msgspec.Struct, frozen=True):
    """The first record with a combination: `sample` is the record, or a part of it; `text` is what an alert names."""

    found: Occurrence
    sample: Sample
    text: str


CombinationSeen: TypeAlias = tuple[Combination, First]


class Firsts:
    """The combinations that were seen.

    `dropped` is how many records had a further combination when there was no room for it: what is known stays known, so
    that no number of combinations that a client makes up makes an old one look new.

    Args:
        most: The most combinations.
    """

    def __init__(self, most: int = MAX_COMBINATIONS) -> None:
        self.dropped = 0
        self._most = most
        self._seen: dict[Combination, First] = {}

    def note(self, combination: Combination, moment: float, first: Callable[[], First]) -> None:
        """Note that a record has a combination.

        Args:
            combination: The combination.
            moment: The record's time, in seconds since the epoch.
            first: Returns the record; called if it is earlier than what is known.
        """
        known = self._seen.get(combination)
        if known is not None and known.found.moment < moment:
            return
        self.join([(combination, first())])

    def join(self, seen: Iterable[CombinationSeen]) -> None:
        """Add what was seen elsewhere."""
        for combination, first in seen:
            known = self._seen.get(combination)
            if known is None and len(self._seen) >= self._most:
                self.dropped += 1
            elif known is None or first.found.order < known.found.order:
                self._seen[combination] = first

    def has_room(self, seen: Sequence[CombinationSeen]) -> bool:
        """Return whether what was seen elsewhere can be added without giving up any of it."""
        return len(self._seen) + sum(one not in self._seen for one, _ in seen) <= self._most

    @property
    def seen(self) -> list[CombinationSeen]:
        """What was seen, in the order of its times."""
        return sorted(self._seen.items(), key=lambda one: (one[1].found.order, one[0]))

    def drain(self) -> list[CombinationSeen]:
        """Return what was seen, and forget it."""
        found = self.seen if self._seen else []
        self._seen.clear()
        return found
