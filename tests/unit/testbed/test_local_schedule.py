"""Functions started by a schedule are retried as often as the template says."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.aws.functions import Outcome
from testbed.aws.mappings import Schedule


class Failing:
    """Runs nothing; every invocation fails."""

    seconds = 0.0

    def __init__(self) -> None:
        self.started: list[float] = []

    def now(self) -> float:
        return self.seconds

    def invoke(self, _function: Any, _event: Any) -> Outcome:
        self.started.append(self.seconds)
        return Outcome("function", "1", error="always")


@pytest.mark.parametrize(("asynchronous", "started"), [({}, [3600.0, 3660.0, 3780.0]), ({"retries": 0}, [3600.0])])
def test_a_failure_is_retried_as_often_as_the_template_says(asynchronous: dict[str, Any], started: list[float]) -> None:
    runner: Any = Failing()
    function: Any = object()
    rule = {"ScheduleExpression": "rate(1 hour)"}
    schedule = Schedule(
        "rule", rule, {"Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f"}, function, runner, **asynchronous
    )

    for second in range(0, 7200, 10):
        runner.seconds = second
        schedule.step()

    assert runner.started == started


@pytest.mark.parametrize(("made", "started"), [(0, [1200.0, 4800.0]), (1200, [4800.0]), (5000, [])])
def test_a_rule_with_a_minute_starts_at_that_minute_of_each_hour(made: int, started: list[float]) -> None:
    runner: Any = Failing()
    function: Any = object()
    runner.seconds = made
    rule = {"ScheduleExpression": "cron(20 * * * ? *)"}
    schedule = Schedule(
        "rule", rule, {"Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f"}, function, runner, 0
    )

    for second in range(made, 7200, 10):
        runner.seconds = second
        schedule.step()

    assert runner.started == started
