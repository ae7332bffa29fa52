"""What a host sends to the function `sign`, and what it gets back; both ends use this module.

The host proves its role as with Vault's AWS auth method: it signs, but does not send, a call of GetCallerIdentity of
STS. Among the signed headers is the SHA-256 of its certificate signing request, so that the proof is of no use for
any other key. Everything else about the call is fixed: the host sends only the three values that are its own.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from cryptography import x509

SIGNED_HEADERS = "content-type;host;x-amz-date;x-amz-security-token;x-vaultwatch-csr"
"""The headers that a host signs, exactly these."""
CSR_HEADER = "X-Vaultwatch-Csr"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
BODY = "Action=GetCallerIdentity&Version=2011-06-15"
STS_PATTERN = r"^[A-Za-z0-9+/=_-]{1,4096}\Z"

Pem = Annotated[str, Meta(max_length=4096)]


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The proof: the headers of the signed call that only its sender can know.

    Attributes:
        authorization: The header `Authorization`, with the signature.
        date: The header `X-Amz-Date`.
        token: The header `X-Amz-Security-Token`.
    """

    authorization: Annotated[str, Meta(max_length=1024)]
    date: Annotated[str, Meta(pattern=r"^\d{8}T\d{6}Z\Z")]
    token: Annotated[str, Meta(pattern=STS_PATTERN)]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request of a host.

    Attributes:
        csr: A certificate signing request in PEM; only its key counts.
        identity: The proof of the host's role, bound to `csr`.
        certificate: The certificate in use, in PEM, which the host only reports; without it, a new one is asked for.
    """

    csr: Pem
    identity: Identity
    certificate: Pem = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of the function `sign`: certificates, or an error.

    Attributes:
        certificate: The host's certificate in PEM.
        authority: The authority's certificate in PEM.
        ends: When the host's certificate ends.
        error: Why the request is refused, as one sentence; then all others are empty.
    """

    certificate: str = ""
    authority: str = ""
    ends: datetime | None = None
    error: str = ""


def digest_of(csr: x509.CertificateSigningRequest) -> str:
    """Return the SHA-256 of a request's DER in hexadecimal, which the proof contains."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return sha256(csr.public_bytes(Encoding.DER)).hexdigest()


def headers_of(digest: str, date: str, token: str) -> dict[str, str]:
    """Return the headers of the call, except for `Host` and `Authorization`."""
    known = {"Content-Type": CONTENT_TYPE, CSR_HEADER: digest}
    return {**known, "X-Amz-Date": date, "X-Amz-Security-Token": token}


def prove(credentials: Credentials | ReadOnlyCredentials, *, url: str, region: str, digest: str) -> Identity:
    """Sign a call of GetCallerIdentity, without sending it.

    Args:
        credentials: The temporary credentials of the host's role.
        url: The address of STS in the region.
        region: The region.
        digest: What the proof is bound to, from `digest_of`.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    headers = {"Content-Type": CONTENT_TYPE, CSR_HEADER: digest}
    call = AWSRequest(method="POST", url=f"{url.rstrip('/')}/", data=BODY, headers=headers)
    SigV4Auth(credentials, "sts", region).add_auth(call)
    signed = call.headers
    return Identity(signed["Authorization"], signed["X-Amz-Date"], signed["X-Amz-Security-Token"])
