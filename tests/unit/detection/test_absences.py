"""An event that has to come again raises an alert once for each time at which it did not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.detection.records import rule
from tests.unit.detection.test_correlation import BEGIN, READS, entry
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.absences import MAX_GROUPS, MAX_RUNS, Run, Runs
from vaultwatch.detection.counting import Occurrence
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.firsts import Combination, First
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.pack import Rule

HOUR = 3600
SPAN = 26 * HOUR


def expecting(group_by: tuple[str, ...] = ("cluster",)) -> list[Rule]:
    """Return a correlation that expects an event every 26 hours, with its base rule."""
    of = {"threshold": 0, "timespan_seconds": SPAN, "group_by": group_by}
    correlation = Correlation(type="absence", rules=("reads",), **of)  # type: ignore[arg-type]
    return [READS, rule(Never(), "missing", correlation=correlation, group_by=group_by)]


def event(hour: float, tag: bytes = b"@prod/vault-1/file ", **more: Any) -> bytes:
    return tag + entry(int(hour * 60), hour * HOUR - 20 * 86_400, **more)


def other(hour: float) -> bytes:
    """Return an entry that no rule matches, with which a log may end."""
    return event(hour, operation="list")


def alerts(lines: Iterable[bytes], rules: Iterable[Rule] = tuple(expecting())) -> list[Alert]:
    """Return the alerts on a log with these lines."""
    detector, lines = Detector(rules), list(lines)
    detector.note_end(lines[-1])
    return [alert_of(verdict) for verdict in detector.feed(lines) + detector.flush()]


def due(found: Iterable[Alert]) -> list[str]:
    return [alert.time for alert in found]


def test_an_event_that_comes_in_time_raises_nothing_and_one_that_does_not_an_alert_when_it_is_due() -> None:
    assert alerts([event(0), event(24), event(50), other(75.9)]) == []
    assert due(alerts([event(0), event(24), event(50), other(76)])) == ["2026-11-04T11:00:00Z"]


def test_a_last_line_with_a_time_to_come_makes_nothing_due() -> None:
    detector = Detector(expecting())
    detector.correlator.received = BEGIN.timestamp()
    detector.note_end(entry(0, 7200))
    assert detector.feed([event(0)]) + detector.flush() == []
    detector.note_end(entry(0, 3600))
    assert len(detector.feed([event(0)]) + detector.flush()) == 1


def test_each_gap_raises_one_alert() -> None:
    lines = [event(0), event(27), event(50), event(100), event(101)]
    assert due(alerts(lines)) == ["2026-11-02T09:00:00Z", "2026-11-04T11:00:00Z"]


def test_what_never_came_is_not_expected() -> None:
    assert alerts([other(0), other(500)]) == []


def test_each_cluster_and_node_is_expected_by_itself() -> None:
    lines = [event(0), event(0, b"@test/vault-9/file "), event(24), other(30)]
    (alert,) = alerts(lines)
    assert alert.group_values == ("test",)
    assert len(alerts([event(0), event(20, b"@prod/vault-2/file "), other(30)], expecting(("cluster", "node")))) == 1


def test_lines_without_a_tag_are_of_one_cluster() -> None:
    assert len(alerts([event(0, b""), event(24, b""), event(60, b"")])) == 1


def test_the_alert_says_what_did_not_come_until_when_and_what_was_the_last() -> None:
    (alert,) = alerts([event(0), other(30)])
    assert alert.summary == (
        "cluster prod: nothing in the 26 hours until 2026-11-02T09:00:00Z; last at 2026-11-01T07:00:00+00:00 (kv/0)"
    )
    assert (alert.cluster, alert.principal, alert.outcome, alert.who) == ("prod", "prod", "unknown", "")
    assert alert.record["first_record"]["request"]["id"] == "e0"


EVENTS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([b"@a/n/file ", b"@b/n/file "])), max_size=10)


@given(EVENTS, st.randoms(use_true_random=False), st.integers(0, 3))
def test_neither_order_nor_repeats_nor_a_second_device_change_an_alert(
    events: list[tuple[int, bytes]], random: Any, repeats: int
) -> None:
    lines = [event(hour, tag) for hour, tag in events]
    more = [*lines, *(line.replace(b"/file", b"/socket") for line in lines), *lines[:repeats]]
    random.shuffle(more)
    found = [(alert.id, alert.time) for alert in alerts([*more, other(230)])]
    assert sorted(found) == sorted((alert.id, alert.time) for alert in alerts([*lines, other(230)]))
    gaps = 0
    for cluster in {tag for _, tag in events}:
        hours = sorted({hour for hour, tag in events if tag == cluster})
        gaps += 1 + sum(after - before > 26 for before, after in pairwise(hours))
    assert len(found) == gaps


def first(moment: float) -> First:
    return First(Occurrence(moment, "", f"e{moment}", NO_ORIGIN), {}, "")


@given(st.lists(st.integers(0, 100)), st.integers(0, 100))
def test_two_halves_joined_are_the_whole(moments: list[int], cut: int) -> None:
    of, whole, one, two = Combination("r", ()), Runs(), Runs(), Runs()
    for number, moment in enumerate(moments):
        for runs in (whole, one if number < cut else two):
            runs.note(of, moment, 3, lambda moment=moment: first(moment))  # type: ignore[misc]
    one.join(two.drain(), lambda _: 3)
    assert one.seen == whole.seen
    times = sorted(set(moments))
    gaps = [(after - before) > 3 for before, after in pairwise(times)]
    assert len(whole.seen[0][1] if moments else []) == (sum(gaps) + 1 if moments else 0)


def test_groups_and_runs_are_bounded_and_what_is_given_up_is_counted() -> None:
    runs = Runs()
    for number in range(MAX_RUNS + 5):
        runs.note(Combination("r", ()), number * 10.0, 3, lambda number=number: first(number * 10.0))  # type: ignore[misc]
    assert (len(runs.seen[0][1]), runs.dropped) == (MAX_RUNS, 5)
    assert runs.seen[0][1][-1] == Run(10.0 * (MAX_RUNS + 4), first(10.0 * (MAX_RUNS + 4)))
    for number in range(MAX_GROUPS + 6):
        runs.note(Combination("r", (str(number),)), 0.0, 3, lambda: first(0.0))
    assert (len(runs.seen), runs.dropped) == (MAX_GROUPS, 12)


@pytest.mark.parametrize("kind", ["request", "response"])
def test_both_entries_of_an_event_are_one(kind: str) -> None:
    assert len(alerts([event(0), event(0, type=kind), other(40)])) == 1
