"""Delays between retries: they double, have a limit, and are spread by jitter."""

from __future__ import annotations

import pytest

from vaultwatch.backoff import Backoff

BACKOFF = Backoff(first_seconds=0.5, longest_seconds=10.0)


def test_without_a_failure_there_is_no_delay() -> None:
    assert (BACKOFF.seconds(0), BACKOFF.full_jitter(0), BACKOFF.equal_jitter(0)) == (0.0, 0.0, 0.0)


def test_the_delay_doubles_up_to_the_longest() -> None:
    assert [BACKOFF.seconds(failures) for failures in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_any_number_of_failures_has_a_delay() -> None:
    assert BACKOFF.seconds(10**9) == 10.0


@pytest.mark.parametrize("failures", [1, 3, 20])
def test_full_jitter_uses_the_whole_range_and_no_more(failures: int) -> None:
    limit = BACKOFF.seconds(failures)
    delays = [BACKOFF.full_jitter(failures) for _ in range(300)]
    assert 0.0 <= min(delays) < 0.2 * limit
    assert 0.8 * limit < max(delays) <= limit


@pytest.mark.parametrize("failures", [1, 3, 20])
def test_equal_jitter_waits_at_least_half(failures: int) -> None:
    limit = BACKOFF.seconds(failures)
    delays = [BACKOFF.equal_jitter(failures) for _ in range(300)]
    assert 0.5 * limit <= min(delays) < 0.6 * limit
    assert 0.9 * limit < max(delays) <= limit
