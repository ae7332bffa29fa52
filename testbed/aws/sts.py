"""A stand-in for STS. moto's does not check signatures; this one does, with the credentials that it handed out."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qs, quote

from werkzeug.wrappers import Request, Response

from testbed.aws.template import ACCOUNT, REGION

_MAX_SKEW_SECONDS = 900
STS_HOST = f"sts.{REGION}.amazonaws.com"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<scope>(?P<date>\d{8})/(?P<region>[\w-]+)/sts/aws4_request), ?"
    r"SignedHeaders=(?P<headers>[\w;-]+), ?Signature=(?P<signature>\w+)"
)


@dataclass(frozen=True)
class Session:
    """A session of a role, with its temporary credentials; an instance's has the instance's id as its name."""

    role: str
    name: str
    account: str = ACCOUNT
    partition: str = "aws"
    access_key: str = field(default_factory=lambda: f"ASIA{secrets.token_hex(8).upper()}")
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(120), repr=False)

    @property
    def arn(self) -> str:
        """The ARN, which does not contain the path of the role."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{self.role}/{self.name}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which an AWS client uses these credentials."""
        key = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return {**key, "AWS_SESSION_TOKEN": self.token}


@dataclass
class Sts:
    """Answers GetCallerIdentity.

    Attributes:
        now: Returns the seconds since the epoch.
        sessions: The sessions whose credentials are valid, by access key.
        other_host: A host for which a call may be signed instead of the one to which it is sent; "" for none.
    """

    now: Callable[[], float]
    sessions: dict[str, Session] = field(default_factory=dict)
    other_host: str = ""

    def hand_out(self, session: Session) -> Session:
        """Make the credentials of a session valid."""
        self.sessions[session.access_key] = session
        return session

    def owner(self, access_key: str) -> str:
        """Return the role of a session; the access key of a function is the name of its role."""
        return self.sessions[access_key].role if access_key in self.sessions else access_key

    def respond(self, request: Request) -> Response:
        """Answer a call as STS does: the caller's ARN, or an error."""
        body = request.get_data()
        if code := self._fault(request, body):
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>No.</Message></Error>"
            return _xml(f'<ErrorResponse xmlns="{_NAMESPACE}">{error}</ErrorResponse>', 403)
        if parse_qs(body.decode()).get("Action") != ["GetCallerIdentity"]:
            return _xml(
                f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Code>InvalidAction</Code></Error></ErrorResponse>', 400
            )
        session = self.sessions[_signature(request)["key"]]
        result = f"<Arn>{session.arn}</Arn><UserId>AROA:{session.name}</UserId><Account>{session.account}</Account>"
        inside = f"<GetCallerIdentityResult>{result}</GetCallerIdentityResult>"
        return _xml(f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}">{inside}</GetCallerIdentityResponse>', 200)

    def _fault(self, request: Request, body: bytes) -> str:
        signed = _signature(request)
        session = self.sessions.get(signed.get("key", ""))
        names = signed.get("headers", "").split(";")
        unsigned = {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")} - set(names)
        if not signed or "host" not in names or unsigned:
            return "IncompleteSignature"
        if session is None or request.headers.get("x-amz-security-token") != session.token:
            return "InvalidClientTokenId"
        if not self._is_recent(request, signed):
            return "SignatureDoesNotMatch"
        hosts, date = {request.headers["host"], self.other_host} - {""}, request.headers["x-amz-date"]
        right = [_sign(session.secret_key, signed, _canonical(request, names, body, host), date) for host in hosts]
        return "" if signed["signature"] in right else "SignatureDoesNotMatch"

    def _is_recent(self, request: Request, signed: dict[str, str]) -> bool:
        date = request.headers.get("x-amz-date", "")
        try:
            made = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            return False
        in_scope = signed["region"] == REGION and date.startswith(signed["date"])
        return in_scope and abs(self.now() - made) <= _MAX_SKEW_SECONDS


def _signature(request: Request) -> dict[str, str]:
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return found.groupdict() if found else {}


def _canonical(request: Request, names: list[str], body: bytes, host: str) -> str:
    """Return the canonical request (IAM user guide, "Create a signed AWS API request")."""
    query = "&".join(
        sorted(
            f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in request.args.items(multi=True)
        )
    )
    given = {name: ",".join(request.headers.getlist(name)).strip() for name in names} | {"host": host}
    headers = "".join(f"{name}:{given[name]}\n" for name in names)
    path = quote(request.path, safe="/-_.~")
    return "\n".join([request.method, path, query, headers, ";".join(names), sha256(body).hexdigest()])


def _sign(secret: str, signed: dict[str, str], canonical: str, date: str) -> str:
    key = b"AWS4" + secret.encode()
    for part in signed["scope"].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", date, signed["scope"], sha256(canonical.encode()).hexdigest()])
    return hmac.digest(key, text.encode(), "sha256").hex()


def _xml(body: str, status: int) -> Response:
    return Response(body, status, content_type="text/xml")
