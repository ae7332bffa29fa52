"""Problems in a handler's log: reported at once, repeated at a limited rate, and resolved once."""

from __future__ import annotations

import logging

import pytest

from vaultwatch.problem_log import MAX_PROBLEMS, ProblemLog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("vaultwatch.problem_log.time.monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_repeats_are_counted_in_the_next_report(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    problems = ProblemLog(interval_seconds=60.0)
    for seconds in (0, 1, 59, 60):
        clock[0] = 1000.0 + seconds
        problems.report("disk", logging.ERROR, "the disk is full")
    assert caplog.messages == ["the disk is full", "the disk is full (repeated 2 times since the last report)"]


def test_another_problem_is_reported_at_once(caplog: pytest.LogCaptureFixture) -> None:
    problems = ProblemLog()
    problems.report("disk", logging.ERROR, "the disk is full")
    problems.report("network", logging.WARNING, "the network is down")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the disk is full"),
        ("WARNING", "the network is down"),
    ]


def test_the_end_is_logged_once_with_the_number_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    problems = ProblemLog()
    for _ in range(3):
        problems.report("disk", logging.ERROR, "the disk is full")
    problems.resolve("writing works again")
    problems.resolve("writing works again")
    assert caplog.messages == ["the disk is full", "writing works again after 3 failures"]


def test_nothing_is_resolved_where_nothing_failed(caplog: pytest.LogCaptureFixture) -> None:
    ProblemLog().resolve("writing works again")
    assert caplog.messages == []


def test_a_problem_that_comes_back_is_new(caplog: pytest.LogCaptureFixture) -> None:
    problems = ProblemLog()
    for _ in range(2):
        problems.report("disk", logging.ERROR, "the disk is full")
        problems.resolve("writing works again")
    assert caplog.messages == ["the disk is full", "writing works again after 1 failure"] * 2


def test_memory_is_bounded_whatever_the_keys_are() -> None:
    problems = ProblemLog()
    for number in range(10 * MAX_PROBLEMS):
        problems.report(str(number), logging.DEBUG, "wrong")
    assert len(problems._logged) <= MAX_PROBLEMS
