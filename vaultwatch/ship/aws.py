"""boto3's clients, and what their errors mean. boto3 takes 0.2 s to import: only here, and late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.printable import one_line
from vaultwatch.ship.options import Pace

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

_BUSY = frozenset(
    {
        "InternalFailure",
        "InternalFailureException",
        "InternalServerError",
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
_OF_AN_ANSWER = (AttributeError, LookupError, TypeError)
"""What looking for something in an answer that does not have it raises."""


class Trouble(NamedTuple):
    """Why a call failed: a short name, one line for a person, and whether somebody must do something about it."""

    name: str
    text: str
    permanent: bool


class Clients:
    """Kinesis and S3 as boto3 finds their credentials, region and endpoint; made when first used.

    `renew` forgets them, so that credentials repaired on disk are read again: a session reads them once.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._clients: dict[str, Any] = {}

    def kinesis(self) -> KinesisClient:
        """Make or give the Kinesis client."""
        client: KinesisClient = self._client("kinesis")
        return client

    def s3(self) -> S3Client:
        """Make or give the S3 client."""
        client: S3Client = self._client("s3")
        return client

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=self._pace.connect_timeout_seconds,
                read_timeout=self._pace.read_timeout_seconds,
                retries={"total_max_attempts": 1},  # repeating is our own work: only what failed
            )
            self._clients[service] = boto3.session.Session().client(service, config=config)  # type: ignore[call-overload]
        return self._clients[service]

    def renew(self) -> None:
        """Forget all clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def trouble(error: Exception) -> Trouble:
    """Say why a call failed, without anything secret.

    A signature error quotes the canonical request with its session token, so of AWS's own text only the first line
    is taken, and none at all when it is about a signature.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    name = type(error).__name__
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code = one_line(str(answer.get("Code", "unknown")), 80)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = "" if "Signature" in code else _first_line(str(answer.get("Message", "")))
        busy = code in _BUSY or status >= 500 or status == 429
        return Trouble(code, f"{error.operation_name}: {code} {text}".rstrip(), permanent=not busy)
    if isinstance(error, BotoCoreError):
        passing = (ConnectionError, HTTPClientError)
        return Trouble(name, f"{name}: {_first_line(str(error))}", permanent=not isinstance(error, passing))
    if isinstance(error, _OF_AN_ANSWER):
        return Trouble(name, f"an answer that AWS does not give ({name}): is the endpoint right?", permanent=True)
    return Trouble(name, name, permanent=True)


def _first_line(text: str) -> str:
    return one_line(text.strip().partition("\n")[0], 300)
