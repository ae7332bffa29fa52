"""Caches whose keys clients choose: each is bounded, and so are all together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

MAX_REMEMBERED = 30_000
MAX_REMEMBERED_LENGTH = 512
MAX_BYTES = 64 * 1024 * 1024
"""What all caches of a process may take: there is one for each field of each combination of rules that asks for it."""
OVERHEAD_BYTES = 250
"""About what a key takes besides its text: the objects, their value and their place in the dictionary."""
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Total:
    """What all caches of a process take."""

    def __init__(self) -> None:
        """Begin without any."""
        self.kept_bytes = 0
        self._caches: dict[int, weakref.ref[Bounded[Any, Any]]] = {}
        self._bytes_of: dict[int, int] = {}

    def register(self, cache: Bounded[Any, Any]) -> None:
        """Count a new cache, until nobody uses it any more."""
        at = id(cache)
        self._caches[at], self._bytes_of[at] = weakref.ref(cache, partial(self._forget, at)), 0

    def add(self, cache: Bounded[Any, Any], size_bytes: int) -> None:
        """Count a key that is about to be kept; if all would be too large with it, they are emptied first."""
        if self.kept_bytes + size_bytes > MAX_BYTES:
            for one in [found for ref in self._caches.values() if (found := ref()) is not None]:
                one.empty()
        self.kept_bytes += size_bytes
        self._bytes_of[id(cache)] += size_bytes

    def emptied(self, cache: Bounded[Any, Any]) -> None:
        """Count that a cache is empty again."""
        self.kept_bytes -= self._bytes_of[id(cache)]
        self._bytes_of[id(cache)] = 0

    def _forget(self, at: int, _cache: object) -> None:
        del self._caches[at]
        self.kept_bytes -= self._bytes_of.pop(at)


total = Total()


class Bounded(dict[Key, Value]):
    """A cache that is bounded in the number and the length of its keys."""

    def __init__(self, length: Callable[[Key], int]) -> None:
        """Make an empty cache.

        Args:
            length: Returns how long a key is; the values of long ones are not kept.
        """
        super().__init__()
        self._length = length
        total.register(self)

    def keep(self, key: Key, found: Value) -> Value:
        """Keep a value, and return it."""
        length = self._length(key)
        if length <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.empty()
            total.add(self, length + OVERHEAD_BYTES)
            self[key] = found
        return found

    def empty(self) -> None:
        """Forget all keys."""
        self.clear()
        total.emptied(self)


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
