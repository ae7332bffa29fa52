"""Errors of AWS: which are temporary, and that their text contains no secret."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from vaultwatch.aws.clients import Clients, classify


def client_error(code: str, message: str = "why", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutRecords")  # type: ignore[arg-type]


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
def test_these_failures_are_temporary(error: Exception) -> None:
    assert not classify(error).permanent


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
def test_these_failures_are_permanent(error: Exception) -> None:
    assert classify(error).permanent


def test_a_failure_is_one_line_that_names_the_call_and_the_code() -> None:
    assert classify(client_error("AccessDenied", "no\x1b[31m\nmore")).text == r"PutRecords: AccessDenied no\u001b[31m"


@pytest.mark.parametrize(
    "error",
    [
        client_error("InvalidSignatureException", "it differs: x-amz-security-token:SECRET"),
        client_error("AccessDenied", "it differs\n\nx-amz-security-token:SECRET"),
        RuntimeError("SECRET"),
    ],
)
def test_the_text_contains_no_secret(error: Exception) -> None:
    assert "SECRET" not in classify(error).text


def test_a_response_that_is_not_from_aws_asks_whether_the_endpoint_is_right() -> None:
    failure = classify(KeyError("Records"))
    assert failure.permanent
    assert "endpoint" in failure.text


def test_clients_are_made_once_until_they_are_renewed() -> None:
    clients = Clients(connect_timeout_seconds=5.0, read_timeout_seconds=30.0)
    first = clients.kinesis()
    assert clients.kinesis() is first
    clients.renew()
    assert clients.kinesis() is not first
    clients.renew()
