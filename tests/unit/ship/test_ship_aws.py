"""What a failure means, and that nothing secret is said about it."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from vaultwatch.ship.aws import Clients, trouble
from vaultwatch.ship.options import Pace


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


def test_clients_are_made_once_and_again_when_they_are_renewed() -> None:
    clients = Clients(Pace())
    first = clients.kinesis()
    assert clients.kinesis() is first
    clients.renew()
    assert clients.kinesis() is not first
    clients.renew()
