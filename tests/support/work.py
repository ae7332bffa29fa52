"""The work that a call does, measured without a clock: the same on every machine, however busy."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable


def bytes_made(function: Callable[[], object]) -> int:
    """Return the sum of the bytes that are allocated between one call and the next while `function` runs.

    Each copy counts, however soon it is freed, and so does each call, because every call allocates something. What C
    code only reads does not count: for regular expressions that backtrack see `bench`.
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
    """Return the work for twice the size divided by that for the size: 2 if it is linear, 4 if it is quadratic."""
    work(size)  # what is allocated only once
    return bytes_made(lambda: work(2 * size)) / bytes_made(lambda: work(size))
