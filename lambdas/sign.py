"""Certifies the keys of hosts. The authority's own key is in KMS, and this function is the only one that may use it.

A host sends a certificate signing request with a proof of its role, and gets a certificate; or it reports the one
that it uses, whose remaining days become a metric. A schedule starts the function every hour, too: then it lets the
key sign, so that a disabled or deleted key shows at once and not when the first certificate has to be renewed.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

import msgspec
from cryptography import x509

from lambdas._environment import read_environment
from vaultwatch.authority.caller import Account, Sts, identify
from vaultwatch.authority.certificates import certify_authority
from vaultwatch.authority.kms_key import KmsKey
from vaultwatch.authority.names import read_hosts
from vaultwatch.authority.request import Answer, Request
from vaultwatch.authority.signing import Authority
from vaultwatch.authority.stored import stored_certificate
from vaultwatch.aws import metrics
from vaultwatch.aws.clients import make_client
from vaultwatch.errors import RequestRefused
from vaultwatch.printable import one_line

_log = logging.getLogger(__name__)


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    account_id: str
    authority_key: str
    authority_name: str
    authority_parameter: str
    aws_region: str
    domain: str
    hosts: str
    partition: str


ENVIRONMENT = read_environment(Environment)
HOSTS = read_hosts(ENVIRONMENT.hosts, ENVIRONMENT.domain)
KMS, SSM = make_client("kms"), make_client("ssm")
STS = Sts(make_client("sts").meta.endpoint_url, ENVIRONMENT.aws_region)
ACCOUNT = Account(ENVIRONMENT.partition, ENVIRONMENT.account_id)


def handler(event: dict[str, Any], _context: Any) -> Any:
    """Answer a request of a host; or check the key, if the schedule starts the function."""
    now = datetime.now(UTC).replace(microsecond=0)
    if event.get("source") == "aws.events":
        return _check(now)
    try:
        return msgspec.to_builtins(_answer(event, now))
    except RequestRefused as error:
        _log.error("a request is refused: %s", one_line(str(error)))
        metrics.write({metrics.REFUSED_REQUESTS: 1})
        return msgspec.to_builtins(Answer(error=str(error)))


def _answer(event: dict[str, Any], now: datetime) -> Answer:
    try:
        request = msgspec.convert(event, Request)
    except msgspec.ValidationError:
        raise RequestRefused("the request does not have the expected fields") from None
    authority = _authority()
    host, certificate = authority.answer(request, partial(identify, sts=STS, account=ACCOUNT, now=now), now)
    metrics.write({metrics.CERTIFICATE_DAYS_LEFT: _days_left(certificate, now)}, host=host.name)
    return authority.answer_with(certificate)


def _check(now: datetime) -> dict[str, Any]:
    """Let the key sign, and write for how many days the authority's certificate is still valid."""
    authority = _authority()
    certify_authority(authority.key, ENVIRONMENT.authority_name, ENVIRONMENT.domain, now)
    metrics.write({metrics.AUTHORITY_DAYS_LEFT: _days_left(authority.certificate, now)})
    return {}


@cache
def _authority() -> Authority:
    key = KmsKey(KMS, ENVIRONMENT.authority_key)
    now = datetime.now(UTC).replace(microsecond=0)
    make = partial(certify_authority, key, ENVIRONMENT.authority_name, ENVIRONMENT.domain, now)
    return Authority(key, stored_certificate(SSM, ENVIRONMENT.authority_parameter, key.public_key(), make), HOSTS)


def _days_left(certificate: x509.Certificate, now: datetime) -> float:
    return (certificate.not_valid_after_utc - now) / timedelta(days=1)
