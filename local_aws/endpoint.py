"""The endpoint that all calls go to: in front of moto it knows who calls, records it, and holds it against a role."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from local_aws import gaps
from local_aws.calls import Request, UnknownCallError, key_needs, needs
from local_aws.permissions import Need, Role

Fault = str
"""Nothing, "kill before" or "kill after" the call is done, or the error code to answer instead of doing it."""


@dataclass(frozen=True)
class Call:
    """A call made in a role: `needs` is what IAM wants allowed, `refused` the first of it that is not."""

    role: str
    environment: str
    service: str
    operation: str
    needs: tuple[Need, ...]
    refused: Need | None = None


@dataclass(frozen=True)
class Answer:
    """A HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Endpoint:
    """AWS on loopback while its `with` lasts.

    `roles` are the callers held against what they may do, by access key; anybody else may do all. `keys` are the ARNs
    of the keys that resources are encrypted with, `locked` the buckets with Object Lock. `on_write` hears of every call
    that succeeded; `fault` decides about each call in a role, and `kill` ends the function's process that made it.
    """

    roles: dict[str, Role] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    on_write: Callable[[Request], None] = lambda request: None
    fault: Callable[[Call], Fault] = lambda call: ""
    kill: Callable[[str], None] = lambda environment: None

    def __enter__(self) -> Endpoint:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = RLock()  # moto's backends say of themselves that they are not made for threads
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        chunked = environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
        body = environ["wsgi.input"].read(*([] if chunked else [int(environ.get("CONTENT_LENGTH") or 0)]))
        answer = self._answer(_request(environ, body), environ)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
        return [answer.body]

    def _answer(self, request: Request, environ: dict[str, Any]) -> Answer:
        role = self.roles.get(_access_key(request))
        if role is None:
            return self._forward(request, environ)
        call = self._judge(role, request)
        self.calls.append(call)
        fault: Fault = self.fault(call)
        if fault == "kill before":
            self.kill(call.environment)
        if call.refused or fault not in ("", "kill after"):
            return _refusal(request, call.refused, fault)
        answer = self._forward(request, environ)
        if fault == "kill after":
            self.kill(call.environment)
        if answer.status == 404 and request.service == "s3" and not self._may_list(role, request):
            return _refusal(
                request, call.needs[0], ""
            )  # S3 tells those only who may list it that an object is not there
        return answer

    def _judge(self, role: Role, request: Request) -> Call:
        environment = request.headers.get("x-amz-security-token", "")
        try:
            found = needs(request)
        except UnknownCallError as error:
            unknown = Need(f"{error} (nobody has written down what it needs)", "*")
            return Call(role.name, environment, request.service, request.operation, (unknown,), unknown)
        found += [need for each in found for need in key_needs(each, self.keys)]
        refused = [need for need in found if not role.allows(need)]
        return Call(
            role.name, environment, request.service, request.operation, tuple(found), refused[0] if refused else None
        )

    def _may_list(self, role: Role, request: Request) -> bool:
        bucket, _ = request.bucket_and_key
        need = Need("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        return any(statement.allows and any(statement.matches(need)) for statement in role.statements)

    def _forward(self, request: Request, environ: dict[str, Any]) -> Answer:
        if wrong := gaps.upload_fault(request, self.locked):
            return _s3_error(*wrong)
        environ = environ | {"wsgi.input": BytesIO(request.body), "CONTENT_LENGTH": str(len(request.body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self._one_at_a_time:
            started: list[Any] = []
            chunks = self._moto(environ, lambda status, headers, exc_info=None: started.extend((status, headers)))
            answer = Answer(int(started[0].split()[0]), started[1], b"".join(chunks))
        if answer.status < 300 and request.method != "GET":
            self.on_write(request)
        return answer


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers in two packets wait 40 ms for each other.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: calls are recorded."""


def _request(environ: Mapping[str, Any], body: bytes) -> Request:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    url = urlsplit(environ["RAW_URI"])
    service = headers.get("authorization", "").partition("Credential=")[2].split("/")
    return Request(
        service=service[3] if len(service) > 3 else "",
        method=environ["REQUEST_METHOD"],
        path=url.path,
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers=headers,
        body=body,
    )


def _access_key(request: Request) -> str:
    return request.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


def _refusal(request: Request, need: Need | None, fault: Fault) -> Answer:
    """As the service says it: what is not allowed, or the fault."""
    if need:
        code, status, message = "AccessDenied", 403, f"not allowed: {need.action} on {need.resource}"
    else:
        code, status, message = fault, 503 if fault == "ServiceUnavailable" else 400, "as the test says"
    if request.service == "s3":
        return _s3_error(status, code, message)
    if request.headers.get("x-amz-target"):
        kind = f"{code}Exception" if need else code
        body = json.dumps({"__type": kind, "message": message}).encode()
        return _of(400 if need else status, "application/x-amz-json-1.0", body)
    code = "AuthorizationError" if need else code
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return _of(status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode())


def _s3_error(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return _of(status, "application/xml", body.encode())


def _of(status: int, content_type: str, body: bytes) -> Answer:
    return Answer(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))], body)
