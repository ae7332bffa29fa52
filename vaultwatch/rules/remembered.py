"""Caches whose keys clients choose."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

MAX_REMEMBERED = 30_000
MAX_REMEMBERED_LENGTH = 512
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Bounded(dict[Key, Value]):
    """A cache that is bounded in the number and the length of its keys."""

    def __init__(self, length: Callable[[Key], int]) -> None:
        """Make an empty cache.

        Args:
            length: Returns how long a key is; the values of long ones are not kept.
        """
        super().__init__()
        self._length = length

    def keep(self, key: Key, found: Value) -> Value:
        """Keep a value, and return it."""
        if self._length(key) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = found
        return found


class Remembered(Bounded[Key, Value]):
    """The results of a function, which a look-up calls for a new key."""

    def __init__(self, look_up: Callable[[Key], Value], length: Callable[[Key], int]) -> None:
        """Make an empty cache.

        Args:
            look_up: The function.
            length: See `Bounded`.
        """
        super().__init__(length)
        self._look_up = look_up

    def __missing__(self, key: Key) -> Value:
        return self.keep(key, self._look_up(key))
