"""The endpoint that all calls go to: in front of moto it knows who calls, records it, and checks it against a role."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from threading import RLock
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from testbed.aws import gaps
from testbed.aws.calls import Request, UnknownCallError, needs
from testbed.aws.permissions import Need, Policy
from testbed.aws.server import Server


@dataclass(frozen=True)
class Call:
    """A call made in a role: `refused` is the first thing that IAM wants allowed for it and is not."""

    role: str
    environment: str
    service: str
    operation: str
    refused: Need | None


@dataclass
class Endpoint:
    """AWS on loopback while its `with` lasts.

    `roles` are the callers checked against their policies, by access key; anybody else may do all. `keys` are the ARNs
    of the keys that resources are encrypted with. `on_write` hears of every call that succeeded. `fault` says of each
    call in a role nothing, "kill after" it is done (`kill` ends the function's process that made it), or the error code
    to answer instead of doing it.
    """

    roles: dict[str, Policy]
    keys: dict[str, str]
    on_write: Callable[[Request], None]
    kill: Callable[[str], None]
    fault: Callable[[Call], str] = lambda call: ""
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> Endpoint:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = RLock()  # moto's backends say of themselves that they are not made for threads
        self._server = Server(Request.application(self._serve))  # type: ignore[arg-type]  # of a subclass
        self.url = f"http://{self._server.address}"
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()

    def _serve(self, request: Request) -> Response:
        request.get_data()  # kept, before a form is read from it
        role = self.roles.get(request.credential[0])
        if role is None:
            return self._forward(request)
        call = self._judge(role, request)
        self.calls.append(call)
        fault = self.fault(call)
        if call.refused:
            return _denial(request, call.refused)
        if fault not in ("", "kill after"):
            return _refusal(request, fault, "as the test says", 503 if fault == "ServiceUnavailable" else 400)
        answer = self._forward(request)
        if fault == "kill after":
            self.kill(call.environment)
        if answer.status_code == 404 and request.service == "s3":
            # S3 says only to who may list it that an object does not exist.
            listing = Need("s3:ListBucket", f"arn:aws:s3:::{request.arguments['Bucket']}")
            if not any(grant.allows and grant.meets(listing) for grant in role.grants):
                return _denial(request, listing)
        return answer

    def _judge(self, role: Policy, request: Request) -> Call:
        environment = request.headers.get("x-amz-security-token", "")
        try:
            found = needs(request, self.keys)
        except UnknownCallError as error:
            found = [Need(f"{error} (nobody has written down what it needs)", "*")]
        refused = [need for need in found if not role.allows(need)]  # asks for all, so that all count as needed
        return Call(role.owner, environment, request.service, request.operation, next(iter(refused), None))

    def _forward(self, request: Request) -> Response:
        body = request.get_data()
        if wrong := gaps.upload_fault(request):
            return _refusal(request, wrong, "of the upload's checksums", 501 if wrong == "NotImplemented" else 400)
        environ = request.environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self._one_at_a_time:
            answer = Response.from_app(self._moto, environ, buffered=True)
        if answer.status_code < 300 and request.method != "GET":
            self.on_write(request)
        return answer


def _denial(request: Request, need: Need) -> Response:
    codes = {"s3": "AccessDenied", "sns": "AuthorizationError"}
    code = codes.get(request.service, "AccessDeniedException")
    return _refusal(request, code, f"not allowed: {need.action} on {need.resource}", 403)


def _refusal(request: Request, code: str, message: str, status: int) -> Response:
    """An error in the protocol of the request."""
    if "x-amz-target" in request.headers:
        return Response(json.dumps({"__type": code, "message": message}), status, content_type="application/json")
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = error if request.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
    return Response(body, status, content_type="text/xml")
