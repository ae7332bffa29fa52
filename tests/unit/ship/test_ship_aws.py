"""What a failure means, how long to wait after it, and that nothing secret is said about it."""

from __future__ import annotations

import logging

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from vaultwatch.ship.aws import Clients, Patience, Trouble, trouble
from vaultwatch.ship.options import Pace

BUSY = Trouble("Busy", "PutRecords: Busy", permanent=False)
DENIED = Trouble("Denied", "PutRecords: Denied", permanent=True)


def client_error(code: str, message: str = "why", status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutRecords")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        client_error("ProvisionedThroughputExceededException"),
        client_error("SomethingNew", status=503),
        client_error("TooMany", status=429),
        EndpointConnectionError(endpoint_url="https://kinesis.eu-central-1.amazonaws.com"),
        ReadTimeoutError(endpoint_url="https://kinesis.eu-central-1.amazonaws.com"),
    ],
)
def test_these_pass_by_themselves(error: Exception) -> None:
    assert not trouble(error).permanent


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException"),
        client_error("ExpiredTokenException"),
        client_error("ResourceNotFoundException"),
        NoCredentialsError(),
        NoRegionError(),
        ValueError("Invalid endpoint"),
    ],
)
def test_for_these_somebody_must_do_something(error: Exception) -> None:
    assert trouble(error).permanent


def test_a_failure_is_one_line_that_names_the_call_and_the_code() -> None:
    assert trouble(client_error("AccessDenied", "no\x1b[31m\nmore")).text == r"PutRecords: AccessDenied no\u001b[31m"


@pytest.mark.parametrize(
    "error",
    [
        client_error("InvalidSignatureException", "it differs: x-amz-security-token:SECRET"),
        client_error("AccessDenied", "it differs\n\nx-amz-security-token:SECRET"),
        RuntimeError("SECRET"),
    ],
)
def test_nothing_secret_is_said(error: Exception) -> None:
    assert "SECRET" not in trouble(error).text


@pytest.fixture
def patience() -> Patience:
    pace = Pace(backoff_seconds=0.1, longest_backoff_seconds=20.0, complaint_seconds=60.0)
    return Patience(pace, Clients(pace))


def test_nothing_is_waited_for_while_all_is_well(patience: Patience) -> None:
    assert patience.delay() == 0.0


def test_the_wait_doubles_up_to_the_longest_and_is_random_below_that(patience: Patience) -> None:
    for longest in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0):
        patience.failed(BUSY, "waits")
        delays = [patience.delay() for _ in range(200)]
        assert 0.7 * longest < max(delays) <= longest
        assert min(delays) < 0.3 * longest
    for _ in range(10_000):
        patience.failed(BUSY, "waits")
    assert patience.delay() <= 20.0


def test_progress_makes_it_try_again_soon(patience: Patience) -> None:
    for _ in range(10):
        patience.failed(BUSY, "waits")
    patience.failed_in_part(BUSY, "waits")
    assert patience.delay() <= 0.1
    patience.succeeded("well again")
    assert patience.delay() == 0.0


def test_a_complaint_is_not_repeated_in_a_flood(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(1000):
        patience.failed(BUSY, "3 frames wait")
    patience.failed(DENIED, "3 frames wait")
    patience.succeeded("Kinesis takes frames again")
    patience.succeeded("Kinesis takes frames again")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "PutRecords: Busy: 3 frames wait"),
        ("ERROR", "PutRecords: Denied: 3 frames wait"),
        ("INFO", "Kinesis takes frames again"),
    ]


def test_clients_are_made_once_and_made_anew_after_a_permanent_failure() -> None:
    clients = Clients(Pace())
    first = clients.kinesis()
    assert clients.kinesis() is first
    patience = Patience(Pace(), clients)
    patience.failed(BUSY, "waits")
    assert clients.kinesis() is first
    patience.failed(DENIED, "waits")
    assert clients.kinesis() is not first
    clients.renew()
