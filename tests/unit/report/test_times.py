"""When something happened: in little memory, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.report.times import Times, clock, duration, seconds_of

MOMENTS = st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=200)


def counted(moments: list[float]) -> Times:
    times = Times()
    for moment in moments:
        times.add(moment)
    return times


@given(MOMENTS)
def test_no_moment_is_lost_and_all_are_within_the_period(moments: list[float]) -> None:
    times = counted(moments)
    assert times.first is not None
    assert times.last is not None
    assert times.first <= min(moments)
    assert max(moments) < times.last
    assert times.total == len(moments) == sum(times.between(times.first, times.last, 96))


@given(MOMENTS)
def test_the_order_does_not_matter(moments: list[float]) -> None:
    assert counted(moments) == counted(sorted(moments))


def test_many_moments_far_apart_take_little_memory() -> None:
    times = counted([number * 1_000.0 for number in range(20_000)])
    assert len(times.counts) <= 8_192
    assert times.total == 20_000
    assert not times.gaps()


def test_a_gap_is_much_longer_than_what_is_usual() -> None:
    busy = [float(second) for second in range(600)]
    (gap,) = counted([*busy, *(second + 4_000 for second in busy)]).gaps()
    assert (round(gap.begin), round(gap.end)) == (599, 4_000)
    assert not counted([0.0, 3_600.0, 7_200.0]).gaps()


def test_times_are_shown_in_utc() -> None:
    assert clock(seconds_of("2026-11-21T08:29:43+01:00")) == "2026-11-21 07:29:43"
    assert seconds_of("<b>") is None
    assert [duration(seconds) for seconds in (59.6, 61, 7_200, 90_000)] == ["1 min", "1 min 1 s", "2 h", "1 d 1 h"]
