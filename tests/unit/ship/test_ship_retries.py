"""Retries of AWS calls: how long to wait, what is logged, and when credentials are read again."""

from __future__ import annotations

import logging

import pytest

from vaultwatch.aws.clients import Failure
from vaultwatch.ship.options import Pace
from vaultwatch.ship.retries import Retries, make_clients

BUSY = Failure("Busy", "PutRecords: Busy", permanent=False)
DENIED = Failure("Denied", "PutRecords: Denied", permanent=True)


@pytest.fixture
def retries() -> Retries:
    pace = Pace(backoff_seconds=0.1, longest_backoff_seconds=20.0, report_seconds=60.0)
    return Retries(pace, make_clients(pace))


def test_there_is_no_delay_without_a_failure(retries: Retries) -> None:
    assert retries.delay() == 0.0


def test_the_delay_doubles_up_to_the_longest_and_is_random_below_that(retries: Retries) -> None:
    for longest in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0):
        retries.failed(BUSY, "waits")
        delays = [retries.delay() for _ in range(200)]
        assert 0.7 * longest < max(delays) <= longest
        assert min(delays) < 0.3 * longest
    for _ in range(10_000):
        retries.failed(BUSY, "waits")
    assert retries.delay() <= 20.0


def test_after_progress_the_next_attempt_follows_soon(retries: Retries) -> None:
    for _ in range(10):
        retries.failed(BUSY, "waits")
    retries.failed_in_part(BUSY, "waits")
    assert retries.delay() <= 0.1
    retries.succeeded("well again")
    assert retries.delay() == 0.0


def test_a_failure_is_not_logged_at_every_attempt(retries: Retries, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(1000):
        retries.failed(BUSY, "3 frames wait")
    retries.failed(DENIED, "3 frames wait")
    retries.succeeded("Kinesis accepts frames again")
    retries.succeeded("Kinesis accepts frames again")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "PutRecords: Busy: 3 frames wait"),
        ("ERROR", "PutRecords: Denied: 3 frames wait"),
        ("INFO", "Kinesis accepts frames again after 1001 failures"),
    ]


def test_only_a_permanent_failure_renews_the_clients() -> None:
    clients = make_clients(Pace())
    first = clients.kinesis()
    retries = Retries(Pace(), clients)
    retries.failed(BUSY, "waits")
    assert clients.kinesis() is first
    retries.failed(DENIED, "waits")
    assert clients.kinesis() is not first
    clients.renew()
