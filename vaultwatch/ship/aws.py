"""boto3's clients, and what their errors mean. boto3 takes 0.2 s to import: only here, and late."""

from __future__ import annotations

import gc
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.backoff import Backoff
from vaultwatch.handler.stdin import Complaints
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


class Patience:
    """Waits between the repeats of a call, longer with each failure and by chance (full jitter), and says why."""

    def __init__(self, pace: Pace, clients: Clients) -> None:
        self._clients = clients
        self._complaints = Complaints(pace.complaint_seconds)
        self._backoff = Backoff(pace.backoff_seconds, pace.longest_backoff_seconds)
        self._failures = 0
        self._call_failed = False

    def failed(self, trouble: Trouble, consequence: str) -> None:
        """Note that a call failed, all of it; what may be wrong with our credentials is read again."""
        self._failures += 1
        self._call_failed = True
        level = logging.ERROR if trouble.permanent else logging.WARNING
        self._complaints.complain(trouble.name, level, f"{trouble.text}: {consequence}")
        if trouble.permanent:
            self._clients.renew()

    def failed_in_part(self, trouble: Trouble, consequence: str) -> None:
        """Note that a part of a call was accepted: worth trying again soon."""
        self._failures = 0
        self.failed(trouble, consequence)
        self._call_failed = False

    def succeeded(self, text: str) -> None:
        """Note that all is well."""
        self._failures = 0
        self._complaints.settle(text)

    def wait(self) -> None:
        """Wait before the next try.

        A failed call of boto3's is a reference cycle (exception, traceback, request) that keeps its body of up to 7 MB,
        and while nothing is read nothing else makes the collector run: 839 MB in half an hour's outage.
        """
        if self._call_failed:
            self._call_failed = False
            gc.collect()
        time.sleep(self.delay())

    def delay(self) -> float:
        """Seconds until the next try; 0 when the last one succeeded."""
        return self._backoff.full_jitter(self._failures)
