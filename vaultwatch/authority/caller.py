"""Find out which role a request comes from, by the call of STS that its sender has signed.

The flaws that such schemes had elsewhere were in what the sender could choose: the address, the method, the
parameters, further headers, the form of the answer. Here the sender chooses nothing but a signature, a date and a
token. This module builds the call itself, and sends it over TLS to the STS endpoint of its own region.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from xml.etree import ElementTree

from vaultwatch.authority.request import BODY, SIGNED_HEADERS, Identity, headers_of
from vaultwatch.errors import CertificateError, RequestRefused
from vaultwatch.printable import one_line

MAX_AGE = timedelta(minutes=5)
_MAX_ANSWER_BYTES = 16 * 1024
_TIMEOUT_SECONDS = 5
_NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/sts/aws4_request, "
    rf"SignedHeaders={SIGNED_HEADERS}, Signature=[0-9a-f]{{64}}",
    re.ASCII,
)
# The path of a role is not part of the ARN, and the names of an account's roles differ whatever their paths are.
_SESSION = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d{12}):"
    r"assumed-role/(?P<role>[\w+=,.@-]{1,64})/(?P<name>[\w+=,.@-]{2,64})",
    re.ASCII,
)
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)


class Account(NamedTuple):
    """The account whose roles are accepted."""

    partition: str
    account_id: str


class Caller(NamedTuple):
    """Who asks: the name of a role, and whether the session is that of an instance, whose name is the instance's id."""

    role: str
    is_instance: bool


@dataclass(frozen=True)
class Sts:
    """The STS endpoint of this region.

    Attributes:
        url: Its address, as botocore knows it.
        region: The region.
    """

    url: str
    region: str

    def call(self, identity: Identity, digest: str) -> tuple[int, bytes]:
        """Send the call that the sender of a request has signed, and return the status and the body of the answer.

        Raises:
            CertificateError: STS did not answer.
        """
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.httpsession import URLLib3Session

        headers = headers_of(digest, identity.date, identity.token)
        headers["Authorization"] = identity.authorization
        call = AWSRequest(method="POST", url=f"{self.url.rstrip('/')}/", data=BODY, headers=headers)
        try:
            answer = URLLib3Session(timeout=_TIMEOUT_SECONDS).send(call.prepare())
        except BotoCoreError as error:
            raise CertificateError(f"STS did not answer: {type(error).__name__}") from None
        return answer.status_code, answer.content


def identify(identity: Identity, digest: str, *, sts: Sts, account: Account, now: datetime) -> Caller:
    """Return who has signed this identity for this digest.

    Args:
        identity: The proof.
        digest: What the proof has to be bound to.
        sts: The endpoint that checks the signature.
        account: The only account whose roles are accepted.
        now: The present time.

    Raises:
        RequestRefused: The proof is malformed, too old or wrong, or it is not that of a role of the account.
        CertificateError: STS failed.
    """
    _check_form(identity, sts.region, now)
    status, body = sts.call(identity, digest)
    if status >= 500 or status == 429:
        raise CertificateError(f"STS failed with status {status}")
    if status != 200:
        raise RequestRefused(f"STS does not accept the signature: {_reason(body)}")
    found = _SESSION.fullmatch(_arn(body))
    if found is None or (found["partition"], found["account"]) != account:
        raise RequestRefused("the caller is not a role of this account")
    return Caller(found["role"], _INSTANCE.fullmatch(found["name"]) is not None)


def _check_form(identity: Identity, region: str, now: datetime) -> None:
    found = _AUTHORIZATION.fullmatch(identity.authorization)
    if found is None:
        raise RequestRefused("the header Authorization does not have the expected form")
    if found["region"] != region or found["date"] != identity.date[:8]:
        raise RequestRefused("the signature is for another region or another day")
    try:
        signed_at = datetime.strptime(identity.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RequestRefused("the date of the signature is not a date") from None
    if abs(now - signed_at) > MAX_AGE:
        raise RequestRefused("the signature is older than five minutes, or the clock of the host is wrong")


def _arn(body: bytes) -> str:
    """Return the ARN in STS's answer, which has to contain exactly one."""
    answer = _parsed(body)
    if answer is None or answer.tag != f"{_NAMESPACE}GetCallerIdentityResponse":
        raise CertificateError("STS's answer has an unknown form")
    arns = answer.findall(f"{_NAMESPACE}GetCallerIdentityResult/{_NAMESPACE}Arn")
    if len(arns) != 1 or len(arns[0]):
        raise CertificateError("STS's answer has an unknown form")
    return arns[0].text or ""


def _reason(body: bytes) -> str:
    """Return STS's error code, as in SignatureDoesNotMatch: its message would quote the request."""
    answer = _parsed(body)
    code = answer.findtext(f"{_NAMESPACE}Error/{_NAMESPACE}Code") if answer is not None else None
    return one_line(code or "unknown reason", 80)


def _parsed(body: bytes) -> ElementTree.Element | None:
    """Parse an answer. A declaration of entities, which STS never sends, is not parsed."""
    text = body.decode("utf-8", "replace")
    if len(body) > _MAX_ANSWER_BYTES or "<!" in text:
        return None
    try:
        return ElementTree.fromstring(text)  # noqa: S314  without entities, bounded, and from STS itself
    except ElementTree.ParseError:
        return None
