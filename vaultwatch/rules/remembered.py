"""Caches whose keys clients choose."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

MAX_REMEMBERED = 30_000
MAX_REMEMBERED_LENGTH = 512
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(dict[Key, Value]):
    """The results of a function, which a look-up calls for a new key. Bounded in number and length of the keys."""

    def __init__(self, look_up: Callable[[Key], Value], length: Callable[[Key], int]) -> None:
        """Make an empty cache.

        Args:
            look_up: The function.
            length: Returns how long a key is; the results for long ones are not kept.
        """
        super().__init__()
        self._look_up = look_up
        self._length = length

    def __missing__(self, key: Key) -> Value:
        found = self._look_up(key)
        if self._length(key) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = found
        return found
