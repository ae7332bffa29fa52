"""Counts of several batches and processes add up, whatever is delivered twice, fails, or is made up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from vaultwatch.alerts import Alert
from vaultwatch.aws.counting import MAX_SHARED, SharedCounting
from vaultwatch.batches import Findings
from vaultwatch.detection.counting import CountedWindow, Occurrence, Window
from vaultwatch.detection.ordered import point_of
from vaultwatch.detection.windows import windows_around
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.correlations import Correlation, Correlations
from vaultwatch.rules.facts import Level, RuleFacts
from vaultwatch.store import StoreError
from vaultwatch.store.counts import Shared

SPAN, THRESHOLD = 600, 8
FACTS = RuleFacts(name="bulk", title="Bulk", level=Level.HIGH, service="audit")
CORRELATIONS = Correlations(
    [
        (
            FACTS,
            Correlation(
                type="event_count",
                rules=("base",),
                timespan_seconds=SPAN,
                threshold=THRESHOLD,
                group_by=("auth.display_name",),
            ),
        )
    ]
)


class Table:
    """`Counts` in memory; it can fail, and notes what it was asked."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[set[int], set[int]]] = {}
        self.reached: set[str] = set()
        self.calls = 0
        self.fails = False

    def add(self, window: str, hashes: Collection[int], halves: Collection[int], expires_at: float) -> Shared:
        assert expires_at > 0
        self.calls += 1
        if self.fails:
            raise StoreError("the table is unavailable")
        if window in self.reached:
            return Shared(reached=True)
        row = self.rows.setdefault(window, (set(), set()))
        row[0].update(hashes)
        row[1].update(halves)
        return Shared(frozenset(row[0]), frozenset(row[1]))

    def mark_reached(self, window: str) -> None:
        self.reached.add(window)


@pytest.fixture
def table() -> Table:
    return Table()


def process(table: Table, **limits: int) -> SharedCounting:
    return SharedCounting(CORRELATIONS, lambda: table, **limits)


def batch(things: Iterable[int], moment: float = 0.0, group: str = "alice") -> list[CountedWindow]:
    """Return what an evaluation counts that finds these things at one moment."""
    hashes = set(things)
    found = Occurrence(moment, str(moment), str(moment), NO_ORIGIN)
    return [
        (key, Window(found, found, {}, set(hashes), dict.fromkeys(map(str, hashes))))
        for key in windows_around(("bulk", (group,), int(moment * 2 // SPAN), SPAN))
    ]


def take(one: SharedCounting, *batches: list[CountedWindow], seconds_left: float = 100.0) -> tuple[list[Alert], int]:
    """Return the alerts that batches raise, and how many counts were given up."""
    alerts, dropped = list[Alert](), 0
    for counted in batches:
        findings = Findings(counted=counted)
        alerts += [alert for some in one.take(findings, lambda: seconds_left) for alert in some]
        dropped += findings.groups_dropped
    return alerts, dropped


class TestOneProcess:
    def test_batches_add_up_and_repeats_do_not(self, table: Table) -> None:
        one = process(table)
        assert take(one, *[batch([n]) for n in range(7) for _ in range(3)]) == ([], 0)
        (alert,), _ = take(one, batch([7]))
        assert alert.rule == "bulk"
        assert take(one, batch(range(20))) == ([], 0)

    def test_what_arrives_a_minute_late_counts(self, table: Table) -> None:
        times = [120.0, 60.0, 180.0, 61.0, 119.0, 62.0, 181.0, 121.0]
        assert len(take(process(table), *[batch([n], time) for n, time in enumerate(times)])[0]) == 1

    def test_an_alert_that_is_not_published_is_raised_again(self, table: Table) -> None:
        one = process(table)
        take(one, batch(range(7)))
        interrupted = one.take(Findings(counted=batch([7])), lambda: 100.0)
        (alert,) = next(interrupted)
        interrupted.close()
        assert [again.id for again in take(one, batch([7]))[0]] == [alert.id]

    def test_a_window_that_an_evaluation_has_finished_raises_nothing_here(self, table: Table) -> None:
        one = process(table)
        finished = [(key, Window(w.first, w.last, {}, reached=True)) for key, w in batch([0])]
        assert take(one, batch(range(5)), finished, batch(range(20))) == ([], 0)


class TestSeveralProcesses:
    def test_what_each_withholds_is_less_than_a_quarter(self, table: Table) -> None:
        processes = [process(table) for _ in range(4)]
        found = [take(one, batch([2 * n, 2 * n + 1])) for n, one in enumerate(processes)]
        assert [len(alerts) for alerts, _ in found] == [0, 0, 0, 1]

    def test_less_costs_no_call(self, table: Table) -> None:
        one = process(table)
        take(one, *[batch([n], group=f"g{n}") for n in range(50)])
        assert table.calls == 0

    def test_a_window_is_added_at_most_once_a_quarter(self, table: Table) -> None:
        one = process(table)
        take(one, *[batch([n]) for n in range(8) for _ in range(3)])
        assert table.calls == 2 * 3  # two windows, at 2, 4 and 6 of 8

    def test_what_others_counted_goes_on_to_count_here(self, table: Table) -> None:
        one, other = process(table), process(table)
        take(one, batch(range(4)))
        take(other, batch([4, 5]))
        assert len(take(other, batch([6]), batch([7]))[0]) == 1

    def test_the_window_between_two_others_raises_if_one_process_saw_each_half(self, table: Table) -> None:
        one, other = process(table), process(table)
        assert take(one, batch(range(4), 0.75 * SPAN)) == ([], 0)
        assert len(take(other, batch(range(4, 8), 1.25 * SPAN))[0]) == 1

    def test_every_process_raises_the_same_alert_and_adds_no_more(self, table: Table) -> None:
        one, other = process(table), process(table)
        take(one, batch(range(4)))
        (first,), _ = take(other, batch(range(4, 8)))
        sizes = {name: len(row[0]) for name, row in table.rows.items()}
        (again,), _ = take(process(table), batch(range(10, 14)))
        assert again.id == first.id
        assert {name: len(row[0]) for name, row in table.rows.items() if name in table.reached} == {
            name: size for name, size in sizes.items() if name in table.reached
        }


class TestLimits:
    def test_a_process_counts_alone_while_the_table_fails_and_says_so(self, table: Table) -> None:
        one, table.fails = process(table), True
        assert take(one, batch(range(4))) == ([], 2)
        assert table.calls == 1  # the next window does not wait for it as well
        assert len(take(one, batch(range(4, 8)))[0]) == 1
        table.fails = False
        assert take(one, batch(range(4), group="bob")) == ([], 0)

    def test_no_window_is_added_when_the_time_is_almost_over(self, table: Table) -> None:
        assert take(process(table), batch(range(4)), seconds_left=29.0) == ([], 2)
        assert table.calls == 0

    def test_many_groups_do_not_hide_the_largest(self, table: Table) -> None:
        many = [window for n in range(2 * MAX_SHARED) for window in batch([1, 2], group=f"g{n}")]
        one, other = process(table), process(table)
        alerts, dropped = take(one, [*many, *batch(range(7))])
        assert (alerts, table.calls) == ([], MAX_SHARED)
        assert dropped == 2 * (2 * MAX_SHARED + 1) - MAX_SHARED
        assert len(take(other, batch([6, 7]))[0]) == 1

    def test_memory_is_bounded_and_the_smallest_counts_are_given_up(self, table: Table) -> None:
        one = process(table, max_windows=100)
        alerts, dropped = take(one, batch(range(7)), *[batch([1], group=f"g{n}") for n in range(500)], batch([7]))
        assert len(alerts) == 1
        assert 2 * 500 - 100 <= dropped <= 2 * 500


class TestOrder:
    """Rules that match one after the other, in several processes."""

    CORRELATIONS = Correlations(
        [
            (
                FACTS,
                Correlation(
                    type="temporal_ordered",
                    rules=("first", "last"),
                    timespan_seconds=SPAN,
                    threshold=2,
                    group_by=("auth.display_name",),
                ),
            )
        ]
    )

    def process(self, table: Table) -> SharedCounting:
        return SharedCounting(self.CORRELATIONS, lambda: table)

    def batch(self, step: int, moment: float) -> list[CountedWindow]:
        return [
            (key, Window(window.first, window.last, {}, {point_of(step, moment, f"e{moment}")}))
            for key, window in batch([1], moment)
        ]

    def test_a_chain_over_several_batches_is_found_in_whatever_order_they_come(self, table: Table) -> None:
        for order in (1, -1):
            raised, _ = take(self.process(table), *[self.batch(0, 10), self.batch(1, 20)][::order])
            assert [alert.rule for alert in raised] == ["bulk"]
            table.rows.clear()
            table.reached.clear()

    def test_the_other_order_is_no_chain(self, table: Table) -> None:
        assert take(self.process(table), self.batch(1, 10), self.batch(0, 20)) == ([], 0)

    def test_each_step_may_be_seen_by_another_process(self, table: Table) -> None:
        one, other = self.process(table), self.process(table)
        assert take(one, self.batch(0, 10)) == ([], 0)
        (raised,), _ = take(other, self.batch(1, 20))
        (again,), _ = take(one, self.batch(1, 100))
        assert again.id == raised.id

    def test_a_chain_that_reaches_into_the_second_half_is_raised_for_one_window(self, table: Table) -> None:
        one, other = self.process(table), self.process(table)
        take(one, self.batch(0, 0.9 * SPAN))
        assert len(take(other, self.batch(1, 1.1 * SPAN))[0]) == 1

    def test_a_rule_that_matches_all_the_time_costs_a_write_for_each_eighth_of_a_window(self, table: Table) -> None:
        one = self.process(table)
        take(one, *[self.batch(1, moment) for moment in range(0, SPAN // 2, 2)])
        assert table.calls == 2 * 4
