"""Counting in windows: in any order, each thing once, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from vaultwatch.detection.counting import LATE_SECONDS, MAX_VALUES, Counting, HalfPart, Noted, Step, Window
from vaultwatch.detection.windows import Half, WindowKey, windows_around
from vaultwatch.reading.records import NO_ORIGIN, Origin

SPAN = 600
HALF = SPAN // 2
Event = tuple[float, str, str]
"""When, of which group, and what."""
EVENTS = st.lists(
    st.tuples(st.integers(-2 * SPAN, 4 * SPAN).map(float), st.sampled_from("ab"), st.sampled_from("123456789")),
    max_size=40,
)


def fed(counting: Counting, events: Iterable[Event], threshold: int = 3) -> list[WindowKey]:
    """Return the windows that raise an alert, in this order."""
    raised = []
    for moment, group, thing in events:
        half = ("rule", (group,), int(moment * 2 // SPAN), SPAN)
        found = Noted(moment, str(moment), thing, (NO_ORIGIN, "", 0))
        raised += [key for key, _ in counting.count(half, threshold, thing, thing, found, dict)]
    return raised


def test_a_window_has_the_clusters_of_both_halves_and_of_what_was_counted_elsewhere() -> None:
    def window(*clusters: str) -> Window:
        counting = Counting()
        for number, cluster in enumerate(clusters):
            half = ("rule", ("a",), number % 2, SPAN)
            found = Noted(number * HALF + 1.0, "", str(number), (Origin(cluster, "n", "file"), "", 0))
            counting.count(half, 99, str(number), str(number), found, dict)
        return counting.window(WindowKey("rule", ("a",), 0, SPAN))

    joined = window("prod", "test", "prod", "prod")
    assert list(joined.clusters) == ["prod", "test"]
    joined.join(window("test", "dev"))
    assert list(joined.clusters) == ["prod", "test", "dev"]
    joined.join(window(*map(str, range(20))))
    assert len(joined.clusters) == MAX_VALUES


def things_in_each_window(events: Iterable[Event]) -> dict[WindowKey, set[str]]:
    """Return the same from the definition of a window."""
    found: dict[WindowKey, set[str]] = defaultdict(set)
    for moment, group, thing in events:
        for number in range(-10, 20):
            if number * HALF <= moment < number * HALF + SPAN:
                found[WindowKey("rule", (group,), number, SPAN)].add(thing)
    return found


def is_even(key: WindowKey) -> bool:
    return key.number % 2 == 0


class TestWindows:
    def test_whatever_happens_within_half_a_timespan_is_within_one_window(self) -> None:
        (first,) = fed(Counting(), [(SPAN - 100.0 + n, "a", str(n)) for n in range(0, 200, 50)])
        assert first.starts == HALF
        assert first.ends == HALF + SPAN

    def test_what_is_further_apart_than_the_timespan_is_not_counted_together(self) -> None:
        assert fed(Counting(), [(n * SPAN, "a", str(n)) for n in range(9)], threshold=2) == []

    def test_a_burst_raises_one_alert_although_two_windows_count_it(self) -> None:
        assert len(fed(Counting(), [(HALF + n, "a", str(n)) for n in range(5)])) == 1

    def test_what_goes_on_raises_an_alert_every_timespan(self) -> None:
        raised = fed(Counting(), [(float(n), "a", str(n)) for n in range(0, 4 * SPAN, 10)], threshold=20)
        assert [key.starts for key in raised] == [0.0, SPAN, 2 * SPAN, 3 * SPAN]

    def test_an_odd_timespan_has_windows_of_its_length(self) -> None:
        early, late = windows_around(("rule", (), int(7.0 * 2 // 5), 5))
        assert (early.starts, early.ends) == (2.5, 7.5)
        assert (late.starts, late.ends) == (5.0, 10.0)


def in_parts(events: Iterable[Event], threshold: int) -> list[HalfPart]:
    """Return events as they are counted in a part of the input that is read ahead."""
    parts: dict[Half, HalfPart] = {}
    for number, (moment, group, thing) in enumerate(events):
        key = ("rule", (group,), int(moment * 2 // SPAN), SPAN)
        step = Step(number, thing, thing, moment, str(moment), thing, (f"c{number % 3}", "", "", "log", number))
        part = parts.setdefault(key, HalfPart(key, threshold, {"first": number}, []))
        if thing not in {step.thing for step in part.steps}:
            part.steps.append(step)
    return list(parts.values())


def counted(counting: Counting, part: HalfPart, step: Step) -> list[str]:
    """Return the windows that raise an alert by a step, with all that they show."""
    found = counting.count(part.key, part.threshold, step.thing, step.text, step.noted(0), lambda: part.sample)
    return [repr(one) for one in found]


def shown_all(counting: Counting) -> list[str]:
    return [repr(one) for one in sorted(counting.largest(10_000), key=lambda one: one[0])]


class TestProperties:
    @given(EVENTS, st.randoms(), st.integers(1, 4))
    def test_the_order_does_not_matter_and_every_window_that_reaches_its_threshold_is_reported(
        self, events: list[Event], random: object, threshold: int
    ) -> None:
        shuffled = list(events)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        raised = fed(Counting(), shuffled, threshold)
        reached = {key for key, things in things_in_each_window(events).items() if len(things) >= threshold}
        assert len(raised) == len(set(raised))
        assert set(raised) <= reached
        assert {key for key in raised if is_even(key)} == {key for key in reached if is_even(key)}
        for key in reached - set(raised):  # between two windows, of which one reports all of it
            neighbours = {key._replace(number=key.number + shift) for shift in (-1, 1)}
            assert neighbours & set(raised)

    @given(EVENTS, st.integers(1, 4))
    def test_repeats_and_second_copies_change_nothing(self, events: list[Event], threshold: int) -> None:
        once = fed(Counting(), events, threshold)
        assert fed(Counting(), [event for event in events for _ in range(3)], threshold) == once
        counting = Counting()
        assert fed(counting, events, threshold) == once
        assert fed(counting, events, threshold) == []

    @given(EVENTS, EVENTS, st.integers(1, 12))
    @example([], [(0.0, "a", "1"), (1.0, "a", "2"), (2.0, "a", "3"), (HALF, "a", "4")], 4)
    @example([(0.0, "a", "1"), (1.0, "a", "2"), (2.0, "a", "3")], [(HALF, "a", "4")], 4)
    @example([(0.0, "a", "1"), (1.0, "a", "2"), (2.0, "a", "3"), (HALF, "a", "4")], [(HALF, "a", "5")], 5)
    @example([(0.0, "a", "1")], [(0.0, "a", "1"), (HALF, "a", "1"), (SPAN, "a", "1")], 3)
    @example([(0.0, "a", "1"), (1.0, "a", "2")], [(HALF, "a", "1"), (SPAN, "a", "1")], 4)
    def test_what_is_counted_at_once_raises_what_it_would_one_by_one(
        self, before: list[Event], events: list[Event], threshold: int
    ) -> None:
        parts = in_parts(events, threshold)
        steps = {step.number: (part, step) for part in parts for step in part.steps}
        one_by_one, at_once = Counting(), Counting()
        assert fed(one_by_one, before, threshold) == fed(at_once, before, threshold)
        expected = [shown for _, one in sorted(steps.items()) for shown in counted(one_by_one, *one)]
        left = at_once.join(parts, 0)
        again = {step.number: (part, step) for part in left for step in part.steps}
        assert [shown for _, one in sorted(again.items()) for shown in counted(at_once, *one)] == expected
        assert shown_all(at_once) == shown_all(one_by_one)

    @given(st.lists(st.text(max_size=5), max_size=300), st.integers(1, 20), st.integers(1, 50))
    def test_a_hostile_number_of_groups_is_bounded(self, groups: list[str], most: int, hashes: int) -> None:
        counting = Counting(most, hashes)
        for number, group in enumerate(groups):
            fed(counting, [(number % 7, group, str(number))], threshold=5)
            found = [window for key, window in counting.largest(10 * len(groups)) if key.number == 0]
            assert len(found) <= most
            assert sum(len(window.hashes) for window in found) <= hashes

    def test_the_smallest_groups_are_dropped_and_counted(self) -> None:
        counting = Counting(max_halves=100)
        fed(counting, [(0.0, "near", str(n)) for n in range(9)], threshold=10)
        fed(counting, [(1.0, f"made-up-{n}", "x") for n in range(5_000)], threshold=10)
        assert counting.dropped > 4_800
        assert len(fed(counting, [(2.0, "near", "the last")], threshold=10)) == 1

    def test_windows_that_ended_long_ago_make_room_without_being_counted_as_dropped(self) -> None:
        counting = Counting(max_halves=100)
        for day in range(50):
            fed(counting, [(day * (SPAN + LATE_SECONDS + HALF), f"{day}-{n}", "x") for n in range(40)])
        assert counting.dropped == 0

    def test_an_entry_with_a_time_far_in_the_future_ends_no_count(self) -> None:
        counting = Counting(max_halves=100)
        fed(counting, [(0.0, "near", str(n)) for n in range(9)], threshold=10)
        fed(counting, [(1.0, f"made-up-{n}", "x") for n in range(99)], threshold=10)
        fed(counting, [(9e9, "future", "x")], threshold=10)
        assert counting.dropped == 25
        assert len(fed(counting, [(2.0, "near", "the last")], threshold=10)) == 1

    def test_a_count_that_forged_times_have_ended_is_given_up_visibly(self) -> None:
        counting = Counting(max_halves=100)
        fed(counting, [(0.0, "near", str(n)) for n in range(9)], threshold=10)
        fed(counting, [(9e9, f"forged-{n}", "x") for n in range(120)], threshold=10)
        forged = counting.dropped
        assert fed(counting, [(2.0, "near", "the last")], threshold=10) == []
        assert counting.dropped == forged + 1

    def test_what_was_counted_is_named_up_to_ten_with_the_first_and_the_last(self) -> None:
        counting = Counting()
        fed(counting, [(float(n), "a", str(n)) for n in (30, 10, *range(40, 60), 20)], threshold=99)
        window = counting.window(WindowKey("rule", ("a",), 0, SPAN))
        assert len(window.values) == MAX_VALUES
        assert (window.first.event_key, window.last.event_key) == ("10", "59")
