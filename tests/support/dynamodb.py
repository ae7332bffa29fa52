"""AWS in this process (moto), with the table that the stack `alerting` creates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from unittest import mock

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from moto import mock_aws

from testbed.aws import alerts_table
from testbed.aws.dynamodb import fast_dynamodb
from vaultwatch.seals import Seal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "eu-west-1"
TABLE = "alerts"
SEAL_KEY = "the key of a deployment, which no role can read"
SEAL = Seal(SEAL_KEY)
MAIL_KEY = "the key of its e-mails, which no role can read either"


class Listed(Seal):
    """What somebody has who has seen a list of the rows, and not the key: their names, and no seals.

    Args:
        names: Names the rows.
    """

    def __init__(self, names: Seal) -> None:
        super().__init__("a guess")
        self.name = names.name  # type: ignore[method-assign]


@contextmanager
def local_aws() -> Iterator[None]:
    """Run moto in this process."""
    with mock_aws(), fast_dynamodb():
        yield


@cache
def session() -> botocore.session.Session:
    """Return the session of all tests: reading the models of the services is most of the time that a client takes."""
    made = botocore.session.get_session()
    made.set_credentials("testing", "testing")
    return made


@cache
def make_client(service: str) -> Any:
    """Return a client of the local AWS."""
    # With the id of the account in their host names, moto does not know calls of streams.
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, account_id_endpoint_mode="disabled")
    return session().create_client(service, region_name=REGION, config=config)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let threads call the local AWS one after the other: moto's backends are not thread-safe."""
    lock, original = Lock(), BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, arguments: Any) -> Any:
        with lock:
            return original(client, operation, arguments)

    with mock.patch.object(BaseClient, "_make_api_call", call):
        yield


def make_table(client: DynamoDBClient) -> None:
    """Create the table that the stack `alerting` creates."""
    alerts_table.make_table(client, TABLE)


def all_rows() -> list[dict[str, Any]]:
    """Return every row of the table."""
    pages = make_client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
    return [row for page in pages for row in page["Items"]]
