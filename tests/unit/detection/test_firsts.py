"""Correlations that learn: what is seen for the first time, in any order, once it has been learned what is usual."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.detection.records import rule
from tests.unit.detection.test_correlation import READS, entry
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.firsts import Firsts
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.pack import Rule

DAY = 86_400
BEFORE = 20
"""By how many days the first day is before that of other tests: times to come are not counted."""
GROUP_BY = ("auth.policies", "auth.entity_id")


def learning(group_by: tuple[str, ...] = GROUP_BY, days: int = 7) -> list[Rule]:
    """Return a correlation that learns for some days, with its base rule."""
    of = {"threshold": 1, "timespan_seconds": days * DAY, "group_by": group_by}
    correlation = Correlation(type="first_seen", rules=("reads",), **of)  # type: ignore[arg-type]
    return [READS, rule(Never(), "new", correlation=correlation, group_by=group_by)]


def use(number: int, day: float, who: str | None = "alice", policies: list[str] | None = None, **more: Any) -> bytes:
    auth = {"display_name": who, "entity_id": who, "policies": policies or ["admin", "default"]}
    return entry(number, (day - BEFORE) * DAY, auth=auth, **more)


BEGIN = entry(0, -BEFORE * DAY, operation="list")
"""An entry that no rule matches, with which a log begins."""


def alerts(lines: Iterable[bytes], rules: Iterable[Rule] = tuple(learning())) -> list[Alert]:
    """Return the alerts on a log that begins with these lines."""
    detector, lines = Detector(rules), list(lines)
    detector.note_end(lines[0])
    return [alert_of(verdict) for verdict in detector.feed(lines) + detector.flush()]


def who(found: Iterable[Alert]) -> list[str]:
    return [alert.who for alert in found]


def test_what_is_new_after_the_learning_period_raises_an_alert_and_what_is_learned_does_not() -> None:
    lines = [BEGIN, use(1, 6.9), use(2, 8, "bob"), use(3, 9, "bob"), use(4, 9), use(5, 7, "carol")]
    assert who(alerts(lines)) == ["carol", "bob"]


def test_the_learning_period_begins_with_the_log_and_not_with_the_first_match() -> None:
    assert who(alerts([BEGIN, use(1, 20)])) == ["alice"]
    assert alerts([use(1, 20), use(2, 21, "bob")]) == []


def test_each_combination_is_new_once() -> None:
    lines = [BEGIN, use(1, 1), use(2, 8, policies=["breakglass"]), use(3, 9, policies=["breakglass"])]
    (alert,) = alerts(lines)
    assert alert.group_values == ("breakglass", "alice")


def test_values_that_are_hashed_are_no_combination() -> None:
    hashed = f"hmac-sha256:{'0' * 64}"
    assert alerts([BEGIN, use(1, 9, hashed)], learning(("auth.entity_id",))) == []
    (alert,) = alerts([BEGIN, *[use(n, 9, f"hmac-sha256:{n:064}") for n in (1, 2)]])
    assert "hmac" not in str(alert.group_values)


def test_records_without_a_time_are_counted_as_undated() -> None:
    detector = Detector(learning())
    detector.feed([use(1, 9, time="yesterday")])
    assert detector.counts.undated == 1


def test_the_alert_names_the_caller_the_values_and_the_first_record() -> None:
    (alert,) = alerts([BEGIN, use(2, 9), use(1, 8)])
    assert alert.summary == (
        "alice: first seen with auth.policies \"admin, default\" (kv/1); at 2026-11-09T07:00:00+00:00"
    )  # fmt: skip
    assert alert.record["counted"]["by"] == {"auth.policies": "admin, default", "auth.entity_id": "alice"}
    assert alert.record["first_record"]["request"]["id"] == "e1"
    assert alert.principal == "alice"


def test_an_alert_on_an_address_alone_names_it() -> None:
    (alert,) = alerts([BEGIN, use(1, 8)], learning(("request.remote_address",)))
    assert alert.summary.startswith("first seen: request.remote_address 10.0.0.1 (kv/1); at")


USES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("abc"), st.sampled_from([["x"], ["y"]])), min_size=1, max_size=12
)


@given(USES, st.randoms(use_true_random=False), st.integers(0, 3))
def test_neither_the_order_of_arrival_nor_repeats_nor_parts_change_an_alert(
    uses: list[tuple[int, str, list[str]]], random: Any, cut: int
) -> None:
    lines = [use(number, day, who, policies) for number, (day, who, policies) in enumerate(uses)]
    other = lines + lines[:cut]
    random.shuffle(other)
    detector = Detector(learning())
    detector.note_end(BEGIN)
    found = [verdict for line in other for verdict in detector.feed([line])] + detector.flush()
    assert [alert_of(verdict) for verdict in found] == alerts([BEGIN, *lines])


def test_the_number_of_combinations_is_bounded_and_what_is_known_stays_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaultwatch.detection.correlation.Firsts", lambda: Firsts(most=2))
    detector = Detector(learning())
    detector.note_end(BEGIN)
    detector.feed([use(1, 1), *[use(n, 9, f"made-up-{n}") for n in range(2, 9)], use(9, 9)])
    assert len(detector.flush()) == 1
    assert detector.counts.groups_dropped == 6
