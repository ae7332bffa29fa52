"""Make clients of AWS, and classify their errors.

botocore takes 0.2 s to import, and boto3 another 0.1 s: they are imported when the first client is made.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.printable import one_line

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.session import Session
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

_TEMPORARY_CODES = frozenset(
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
_BAD_RESPONSE_ERRORS = (AttributeError, LookupError, TypeError)
"""What reading a response raises when the endpoint is not AWS."""


class Failure(NamedTuple):
    """Why a call failed: a short name, one line of text, and whether it fails until somebody repairs something."""

    name: str
    text: str
    permanent: bool


class Clients:
    """Clients for Kinesis and S3, with the credentials, region and endpoint that boto3 finds; made when first used.

    They do not retry: the caller knows which part of a call to repeat.
    """

    def __init__(self, *, connect_timeout_seconds: float, read_timeout_seconds: float) -> None:
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._clients: dict[str, Any] = {}

    def kinesis(self) -> KinesisClient:
        """Return the Kinesis client."""
        client: KinesisClient = self._client("kinesis")
        return client

    def s3(self) -> S3Client:
        """Return the S3 client."""
        client: S3Client = self._client("s3")
        return client

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=self._connect_timeout_seconds,
                read_timeout=self._read_timeout_seconds,
                retries={"total_max_attempts": 1},
            )
            self._clients[service] = boto3.session.Session().client(service, config=config)  # type: ignore[call-overload]
        return self._clients[service]

    def renew(self) -> None:
        """Close all clients, so that new ones read credentials again: a session reads them only once."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


@cache
def _session() -> Session:
    import botocore.session

    return botocore.session.get_session()


def make_client(service: str) -> Any:
    """Return a client for a function. It gives up early, because the next event repeats what failed.

    It is botocore's: boto3 would also load S3's transfer manager, and make every cold start a third longer.
    """
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 3, "mode": "standard"}
    return _session().create_client(service, config=Config(connect_timeout=3, read_timeout=10, retries=retries))


def classify(error: Exception) -> Failure:
    """Return why a call failed, without any secret."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    name = type(error).__name__
    if isinstance(error, ClientError):
        return _classify_response(error)
    if isinstance(error, BotoCoreError):
        temporary = isinstance(error, (ConnectionError, HTTPClientError))
        return Failure(name, f"{name}: {_first_line(str(error))}", permanent=not temporary)
    if isinstance(error, _BAD_RESPONSE_ERRORS):
        return Failure(name, f"not a response of AWS ({name}): is the endpoint right?", permanent=True)
    return Failure(name, name, permanent=True)


def _classify_response(error: ClientError) -> Failure:
    """Read an error response.

    A signature error quotes the canonical request with its session token. So only the first line of AWS's text is used,
    and none of it if the error is about a signature.
    """
    response = error.response.get("Error", {})
    code = one_line(str(response.get("Code", "unknown")), 80)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = "" if "Signature" in code else _first_line(str(response.get("Message", "")))
    temporary = code in _TEMPORARY_CODES or status >= 500 or status == 429
    return Failure(code, f"{error.operation_name}: {code} {text}".rstrip(), permanent=not temporary)


def _first_line(text: str) -> str:
    return one_line(text.strip().partition("\n")[0], 300)
