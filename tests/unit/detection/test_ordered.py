"""Rules that match one after the other: what decides is when their records were written, not when they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.detection.records import rule
from tests.unit.detection.test_correlation import READS, WRITES, alerts, counting, entry, ids
from vaultwatch.detection.ordered import MAX_POINTS, has_chain, point_of, slots, surplus
from vaultwatch.detection.windows import WindowKey
from vaultwatch.rules.conditions import Text

SPAN = 600
KEY = WindowKey("rule", (), 0, SPAN)
DELETES = rule(Text("request.operation", "eq", "delete", False), "deletes")
TWO = counting("temporal_ordered", (READS, WRITES), threshold=2)
THREE = counting("temporal_ordered", (READS, WRITES, DELETES), threshold=3)
Match = tuple[int, int, str]
"""Which step, when, and which event."""


def read(number: int, seconds: float, **more: Any) -> bytes:
    return entry(number, seconds, operation="read", **more)


def write(number: int, seconds: float, **more: Any) -> bytes:
    return entry(number, seconds, operation="update", **more)


def delete(number: int, seconds: float) -> bytes:
    return entry(number, seconds, operation="delete")


class TestOrder:
    def test_rules_that_match_in_the_listed_order_raise_an_alert_however_their_records_arrive(self) -> None:
        for lines in ([read(1, 10), write(2, 20)], [write(2, 20), read(1, 10)]):
            (alert,) = alerts(TWO, lines)
            assert alert.summary == (
                "alice: at least 2 rules matched one after the other in the 10 minutes from 2026-11-21T07:00:00Z: "
                "reads, writes; first at 2026-11-21T07:00:10+00:00, last at 2026-11-21T07:00:20+00:00"
            )

    def test_another_order_raises_none(self) -> None:
        assert alerts(TWO, [write(1, 10), read(2, 20)]) == []
        assert alerts(TWO, [read(1, 10), write(2, 10)]) == []
        assert alerts(THREE, [read(1, 10), write(2, 30), delete(3, 20)]) == []

    def test_any_match_of_a_rule_will_do(self) -> None:
        lines = [write(1, 10), read(2, 20), read(3, 30), delete(4, 35), write(5, 40), write(6, 60), delete(7, 50)]
        assert len(alerts(THREE, lines)) == 1

    def test_both_have_to_be_within_the_timespan_and_of_the_same_group(self) -> None:
        assert alerts(TWO, [read(1, 10), write(2, 10 + SPAN)]) == []
        assert alerts(TWO, [read(1, 10), write(2, 20, who="bob")]) == []

    def test_two_steps_that_follow_each_other_are_different_events(self) -> None:
        everything = rule(Text("request.path", "prefix", "kv/", False), "everything")
        rules = counting("temporal_ordered", (everything, WRITES), threshold=2)
        copies = [write(1, 10, type="request"), write(1, 10.001)]
        assert alerts(rules, copies) == []
        assert len(alerts(rules, [*copies, write(2, 11)])) == 1

    def test_a_chain_from_one_window_into_the_next_raises_one_alert(self) -> None:
        (alert,) = alerts(TWO, [read(1, 550), write(2, 650)])
        assert alert.record["counted"]["window"] == "2026-11-21T07:05:00Z"

    def test_a_chain_within_half_a_timespan_raises_one_alert_whatever_else_is_there(self) -> None:
        lines = [read(1, 310), write(2, 320), write(3, 290), read(4, 620)]
        assert len(alerts(TWO, lines)) == 1
        assert ids(TWO, lines) == ids(TWO, lines[::-1])


def chains(matches: Iterable[Match], steps: int) -> set[int]:
    """Return the numbers of the windows with a chain, from the definition."""
    by_step = [[(at, event) for step, at, event in matches if step == number] for number in range(steps)]
    found = set()
    for chain in product(*by_step):
        if all(b[0] > a[0] and b[1] != a[1] for a, b in pairwise(chain)):
            first, last = chain[0][0] * 2 // SPAN, chain[-1][0] * 2 // SPAN
            found |= {number for number in (first - 1, first) if number % 2 == 0 and number <= last <= number + 1}
            found |= {first} if first % 2 and last == first + 1 else set()
    return found


MATCHES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * SPAN), st.sampled_from("abcdefgh")), max_size=9)
OPERATIONS = ("read", "update", "delete")


@given(MATCHES, st.randoms(use_true_random=False), st.integers(0, 5))
@example([(0, 10, "a"), (1, 20, "b"), (2, 30, "c")], __import__("random").Random(1), 2)
def test_the_alerts_are_those_of_the_definition_in_any_order_with_any_repeats(
    matches: list[Match], random: Any, repeats: int
) -> None:
    lines = [
        entry(0, at, request={"id": event, "operation": OPERATIONS[step], "path": "kv/a"})
        for step, at, event in [*matches, *matches[:repeats]]
    ]
    random.shuffle(lines)
    found = {alert.record["counted"]["window"] for alert in alerts(THREE, lines)}
    expected = chains(matches, 3)
    assert len(found) == len(expected)
    assert found == {f"2026-11-21T07:{number * SPAN // 120:02}:00Z" for number in expected}


class TestPoints:
    @given(MATCHES)
    def test_what_is_not_kept_decides_nothing_whatever_arrives_later(self, matches: list[Match]) -> None:
        key, kept, everything = WindowKey("rule", (), 0, 2 * SPAN), set[int](), set[int]()
        for match in matches:
            everything.add(point_of(*match))
            kept.add(point_of(*match))
            gone, given_up = surplus(key, kept, 3)
            kept -= gone
            assert not given_up
            assert has_chain(key, kept, 3) == has_chain(key, everything, 3)

    def test_of_two_steps_four_points_are_kept_of_any_number(self) -> None:
        points = {point_of(step, n, f"e{n}") for step in (0, 1) for n in range(100)}
        gone, given_up = surplus(KEY, points, 2)
        assert points - gone == {point_of(0, n, f"e{n}") for n in (0, 1)} | {point_of(1, n, f"e{n}") for n in (98, 99)}
        assert given_up == 0

    def test_of_a_step_between_others_a_bounded_number_is_kept_all_over_the_time_and_the_rest_counted(self) -> None:
        points = {point_of(1, n, f"e{n}") for n in range(1000)}
        gone, given_up = surplus(KEY, points, 3)
        assert len(points - gone) == MAX_POINTS
        assert given_up == 1000 - MAX_POINTS
        assert {point_of(1, 0, "e0"), point_of(1, 999, "e999")} <= points - gone

    def test_a_point_has_eight_bytes_and_its_place_in_a_window_whenever_that_is(self) -> None:
        for number in (-(10**6), -1, 0, 1, 4 * 10**5):
            key = WindowKey("rule", (), 2 * number, 7 * 86_400)
            first, last = (point_of(step, key.starts + at, str(step)) for step, at in ((0, 0), (15, 7 * 86_400 - 0.01)))
            assert max(first, last).bit_length() <= 64
            assert slots(key, [first, last]) == {(0, 0), (15, 7)}

    def test_points_in_the_same_eighth_of_a_window_are_in_the_same_slot(self) -> None:
        assert slots(KEY, [point_of(0, 1, "a")]) == slots(KEY, [point_of(0, 70, "b"), point_of(0, 3, "c")])
        assert len(slots(KEY, [point_of(1, n, "a") for n in range(0, SPAN, 5)])) == 8
