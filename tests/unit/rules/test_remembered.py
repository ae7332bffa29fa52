"""What clients can make a process remember is bounded, in each cache and in all of them together."""

from __future__ import annotations

import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from vaultwatch.rules.remembered import (
    MAX_BYTES,
    MAX_REMEMBERED,
    MAX_REMEMBERED_LENGTH,
    OVERHEAD_BYTES,
    Bounded,
    Remembered,
    total,
)

LONG = "x" * (MAX_REMEMBERED_LENGTH - 20)


def filled(number: int) -> Bounded[str, int]:
    cache: Bounded[str, int] = Bounded(len)
    for key in range(number):
        cache.keep(f"{key:020}{LONG}", key)
    return cache


def test_a_cache_is_emptied_before_it_has_too_many_keys() -> None:
    assert len(filled(MAX_REMEMBERED)) == MAX_REMEMBERED
    assert len(filled(MAX_REMEMBERED + 1)) == 1


def test_a_long_key_is_not_kept() -> None:
    cache: Remembered[str, int] = Remembered(len, len)
    assert cache["y" * 5_000] == 5_000
    assert not cache


def test_a_hundred_caches_take_no_more_than_all_may() -> None:
    caches = [filled(2_000) for _ in range(100)]
    assert total.kept_bytes <= MAX_BYTES
    assert sum(len(key) for cache in caches for key in cache) <= MAX_BYTES
    assert caches[-1]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["fill", "empty", "drop"])))
def test_what_nobody_uses_counts_no_more(steps: list[str]) -> None:
    gc.collect()
    before, caches = total.kept_bytes, list[Bounded[str, int]]()
    for step in steps:
        if step == "fill":
            caches.append(filled(3))
        elif caches and step == "empty":
            caches[-1].empty()
        elif caches:
            caches.pop()
    assert total.kept_bytes - before == sum(map(len, caches)) * (MAX_REMEMBERED_LENGTH + OVERHEAD_BYTES)
    del caches
    assert total.kept_bytes == before
