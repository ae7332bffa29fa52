"""The instance metadata service, version 2: a machine has to ask for a token first (EC2 user guide)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from werkzeug.wrappers import Request, Response

from testbed.aws.sts import Session

_TOKEN, _LIFETIME = "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_SECONDS = 21_600
_CREDENTIALS_LAST = timedelta(hours=6)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Instance:
    """What an instance can learn about itself.

    Attributes:
        id: Its id: "i-0123456789abcdef0".
        address: Its private IPv4 address, by which the service knows who asks.
        user_data: Its user data.
        session: Returns credentials of its role.
    """

    id: str
    address: str
    user_data: str
    session: Callable[[], Session]


@dataclass
class Metadata:
    """The service, as a WSGI application.

    Attributes:
        instances: The instances by their address.
    """

    instances: dict[str, Instance] = field(default_factory=dict)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def respond(self, request: Request) -> Response:
        """Answer a request; without a valid token it is refused, as `HttpTokens: required` says."""
        instance = self.instances.get(request.remote_addr or "")
        if instance is None:
            return Response(status=404)
        if (request.method, request.path) == ("PUT", "/latest/api/token"):
            return self._token(request, instance)
        address, ends = self._tokens.get(request.headers.get(_TOKEN, ""), ("", 0.0))
        if address != instance.address or time.monotonic() > ends:
            return Response(status=401)
        text = _value(instance, request.path.removeprefix("/latest/"))
        return Response(text, 404 if text is None else 200, content_type="text/plain")

    def _token(self, request: Request, instance: Instance) -> Response:
        lifetime = request.headers.get(_LIFETIME, "")
        if not lifetime.isdigit() or not 1 <= int(lifetime) <= _LONGEST_SECONDS or "x-forwarded-for" in request.headers:
            return Response(status=400)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = instance.address, time.monotonic() + int(lifetime)
        return Response(token, headers={_LIFETIME: lifetime}, content_type="text/plain")


def _value(instance: Instance, path: str) -> str | None:
    session = instance.session()
    roles = "meta-data/iam/security-credentials/"
    fixed = {
        "meta-data/instance-id": instance.id,
        "meta-data/local-ipv4": instance.address,
        "user-data": instance.user_data,
        roles: session.role,
    }
    if path == roles + session.role:
        return _credentials(session)
    return fixed.get(path)


def _credentials(session: Session) -> str:
    now = datetime.now(UTC)
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": f"{now:{_TIME}}",
            "Expiration": f"{now + _CREDENTIALS_LAST:{_TIME}}",
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "Token": session.token,
        }
    )
