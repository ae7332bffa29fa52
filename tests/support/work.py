"""How much work a call makes, without a clock: the same on every machine, however busy."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable


def bytes_made(function: Callable[[], object]) -> int:
    """The bytes that are allocated between one call and the next while `function` runs, summed up.

    Each copy counts, however soon it is given back, and so does each call, since nothing is called for no bytes at
    all. What the C code of a call only looks at does not: for regexes that give back what they took see `bench`.
    """
    made = held = 0

    def count(*_: object) -> None:
        nonlocal made, held
        now, peak = tracemalloc.get_traced_memory()
        made += max(peak - held, 0)
        tracemalloc.reset_peak()
        held = now

    tracemalloc.start()
    held, _ = tracemalloc.get_traced_memory()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        count()
        tracemalloc.stop()
    return made


def growth(work: Callable[[int], object], size: int) -> float:
    """What `work` makes of twice the size, in that of the size: 2 where it is linear, 4 where it is quadratic."""
    work(1)  # what is made once only
    return bytes_made(lambda: work(2 * size)) / bytes_made(lambda: work(size))
