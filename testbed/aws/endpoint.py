"""The endpoint of all calls: it records who calls, checks the caller's permissions, and passes the call to moto."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from threading import RLock
from typing import Any
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from testbed.aws import gaps
from testbed.aws.calls import Request, UnknownCallError, function_arn, invoked_function, needs
from testbed.aws.functions import FunctionSpec
from testbed.aws.instances import Instances
from testbed.aws.permissions import Need, Policy
from testbed.aws.server import Server
from testbed.aws.sts import Sts
from testbed.aws.template import role_arn


@dataclass(frozen=True)
class Call:
    """A call made with a role; `refused` is the first permission that the role lacks, if any."""

    role: str
    environment: str
    service: str
    operation: str
    refused: Need | None


@dataclass
class Endpoint:
    """AWS on loopback while the context is open.

    Attributes:
        roles: The policies of callers by the name of their role; a caller without one may do everything.
        keys: The ARNs of KMS keys by the ARN of the resource that they encrypt.
        on_write: Called after each successful call that writes.
        kill: Ends the process of the function that made a call.
        key_policies: The policies of KMS keys for whose use no role needs a permission, by the ARN of the key.
        invoke: Runs the function with this ARN, and returns Lambda's answer.
        functions: The functions by ARN, whose configuration calls may read.
        instances: Answers the calls of hosts, and knows the tags of instances.
        sts: Answers calls of STS, and knows the roles of the credentials that it handed out.
        fault: Decides what happens to a call made with a role, or by a host: "" for nothing, "kill after" to kill its
            process once the call is done, or the error code to answer with instead.
        bucket_policies: The policies of buckets, by their ARN: what they deny to everybody is denied.
        hosts: The access keys of hosts, which have no role and may do everything.
        calls: The calls made with a role.
    """

    roles: dict[str, Policy]
    keys: dict[str, str]
    on_write: Callable[[Request], None]
    kill: Callable[[str], None]
    key_policies: dict[str, Policy]
    invoke: Callable[[str, bytes], Response]
    functions: Mapping[str, FunctionSpec]
    sts: Sts
    instances: Instances
    fault: Callable[[Call], str] = lambda call: ""
    calls: list[Call] = field(default_factory=list)
    bucket_policies: Mapping[str, Policy] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()

    def __enter__(self) -> Endpoint:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.one_at_a_time = RLock()  # moto's backends are not thread-safe, as their code says
        self.application = Request.application(self._serve)  # type: ignore[arg-type]  # of a subclass
        self._server = Server(self.application)
        self.url = f"http://{self._server.address}"
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()

    def _serve(self, request: Request) -> Response:
        request.get_data()  # caches the body, before a form is read from it
        if request.service == "sts" and request.operation != "AssumeRole":  # needs no permission
            return self.sts.respond(request)
        name = self.sts.owner(request.credential[0])
        role = self.roles.get(name)
        if role is None:
            fault = name in self.hosts and self.fault(Call(name, "", request.service, request.operation, None))
            return _injected(request, fault) if fault else self._forward(request)
        call = self._judge(name, role, request)
        self.calls.append(call)
        fault = self.fault(call)
        if call.refused:
            return _denial(request, call.refused)
        if fault not in ("", "kill after"):
            return _injected(request, fault)
        answer = self._forward(request)
        if fault == "kill after":
            self.kill(call.environment)
        if answer.status_code == 404 and request.service == "s3":
            # S3 reveals that an object does not exist only to callers that may list the bucket.
            listing = Need("s3:ListBucket", f"arn:aws:s3:::{request.arguments['Bucket']}")
            if not any(grant.allows and grant.meets(listing) for grant in role.grants):
                return _denial(request, listing)
        return answer

    def _judge(self, name: str, role: Policy, request: Request) -> Call:
        environment = request.headers.get("x-amz-security-token", "")
        try:
            found = [self._with_tags(need) for need in needs(request, self.keys)]
        except UnknownCallError as error:
            found = [Need(f"{error} (not listed in testbed/aws/calls.py)", "*")]
        # checks all of them, so that each counts as needed
        refused = [need for need in found if not self._allows(name, role, need)]
        return Call(role.owner, environment, request.service, request.operation, next(iter(refused), None))

    def _with_tags(self, need: Need) -> Need:
        tags = self.instances.tags.get(need.resource, {})
        return Need(
            need.action, need.resource, {**need.context, **{f"aws:ResourceTag/{k}": v for k, v in tags.items()}}
        )

    def _allows(self, name: str, role: Policy, need: Need) -> bool:
        bucket = self.bucket_policies.get(need.resource.partition("/")[0])
        if bucket and bucket.denies(need):
            return False
        own = self.key_policies.get(need.resource)
        if own is None:
            return role.allows(need)
        caller = role_arn(name)
        return own.allows(Need(need.action, need.resource, {**need.context, "aws:PrincipalArn": caller}), caller)

    def _forward(self, request: Request) -> Response:
        body = request.get_data()
        if function := invoked_function(request):
            return self.invoke(function, body)
        if request.service == "lambda" and (described := self._described(request)):
            return Response(json.dumps(described), content_type="application/json")
        if answer_of_host := self.instances.answer(request):
            return answer_of_host
        if wrong := gaps.upload_fault(request):
            return _refusal(
                request, wrong, "the upload does not match its checksums", 501 if wrong == "NotImplemented" else 400
            )
        environ = request.environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self.one_at_a_time:
            answer = Response.from_app(self._moto, environ, buffered=True)
        if answer.status_code < 300 and request.method != "GET":
            self.on_write(request)
        return answer

    def _described(self, request: Request) -> dict[str, Any] | None:
        match request.operation:
            case "ListFunctions":
                return {"Functions": [one.described() for one in self.functions.values()]}
            case "GetFunction":
                return {"Configuration": self.functions[function_arn(request.arguments["FunctionName"])].described()}
            case "GetFunctionConfiguration":
                return self.functions[function_arn(request.arguments["FunctionName"])].described()
        return None


def _injected(request: Request, code: str) -> Response:
    return _refusal(request, code, "injected by the test", _STATUS.get(code, 400))


_STATUS = {"InternalError": 500, "InternalFailure": 500, "ServiceUnavailable": 503, "SlowDown": 503}


def _denial(request: Request, need: Need) -> Response:
    codes = {"s3": "AccessDenied", "sns": "AuthorizationError"}
    code = codes.get(request.service, "AccessDeniedException")
    return _refusal(request, code, f"not allowed: {need.action} on {need.resource}", 403)


def _refusal(request: Request, code: str, message: str, status: int) -> Response:
    """Return an error in the protocol of the request."""
    if "x-amz-target" in request.headers or request.service == "lambda":
        return Response(json.dumps({"__type": code, "message": message}), status, content_type="application/json")
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = error if request.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
    return Response(body, status, content_type="text/xml")
