"""Windows of time, by rule and group, and the hashes of texts that every process makes alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias


class WindowKey(NamedTuple):
    """Which window of which group of a rule: the `number` is that of the half timespan that it begins with."""

    rule: str
    group: tuple[str, ...]
    number: int
    timespan_seconds: int

    @property
    def starts(self) -> float:
        """When the window begins, in seconds since the epoch."""
        return self.number * self.timespan_seconds / 2

    @property
    def ends(self) -> float:
        """When it ends."""
        return self.starts + self.timespan_seconds

    def half_of(self, moment: float) -> int:
        """Return the number of the half timespan that a moment is in."""
        return int(moment * 2 // self.timespan_seconds)


Half: TypeAlias = tuple[str, tuple[str, ...], int, int]
"""A half timespan of a group: what the later one of the two windows that it is in has as its key."""


def windows_around(half: Half) -> tuple[WindowKey, WindowKey]:
    """Return the two windows that a half timespan is in."""
    rule, group, late, timespan_seconds = half
    return WindowKey(rule, group, late - 1, timespan_seconds), WindowKey(*half)


def joined(texts: Iterable[str]) -> str:
    """Return some texts as one, for each tuple of them another one: U+0000 is between them, and in none of them."""
    return "\0".join([text.replace("\1", "\1\1").replace("\0", "\1\2") for text in texts])


def hash_of(text: str) -> int:
    """Return the 8-byte hash of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
