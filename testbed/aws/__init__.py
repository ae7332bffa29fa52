"""A local AWS, created from synthesized templates: moto's resources, and functions in the real runtime client.

    with LocalAws(templates, bundle) as aws:
        aws.client("kinesis").put_record(StreamName=aws.output("vaultwatch-alerting", "StreamName"), ...)
        aws.run_until_idle()
        aws.tick(60)

The templates decide what exists; `resources` lists the supported types, `gaps` what moto lacks. Only one local AWS can
run in a process, because moto's state is global.
"""

from __future__ import annotations

import fnmatch
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from moto.moto_api._internal.models import moto_api_backend
from werkzeug.wrappers import Response

from testbed.aws.alarms import fired_alarms
from testbed.aws.calls import Request
from testbed.aws.clock import Clock, Worker
from testbed.aws.endpoint import Call, Endpoint
from testbed.aws.firehose import direct_puts
from testbed.aws.functions import Function, Outcome
from testbed.aws.gaps import Deliveries, Mail, patches
from testbed.aws.instances import Instances
from testbed.aws.mappings import Delivery, KinesisShard, Queue, Schedule
from testbed.aws.permissions import Need
from testbed.aws.resources import Maker
from testbed.aws.sts import STS_HOST, Session, Sts
from testbed.aws.template import REGION, Template, Templates, UnsupportedTemplateError

__all__ = ["Call", "LocalAws", "LocalAwsError", "Mail", "Outcome", "UnsupportedTemplateError"]

_SESSION = boto3.Session()  # reads botocore's descriptions of the services only once
_WRITING = ("BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem")
_ONLY_ONE = Lock()  # a second one would take messages from the queues of the first


class LocalAwsError(AssertionError):
    """Something ran that would have failed on AWS."""


class LocalAws:
    """A local AWS that runs while its context is open: worker threads pass events to the functions.

    Leaving the context raises `LocalAwsError` if a call was denied to a role; entering it, if another one runs.

    Args:
        templates: The templates by the name of their stack.
        code: The folder of the functions' bundle for this interpreter. A function with a bundle of its own has it
            beside that, in the folder `<code>-<function>`.
        ways: The URLs by which other processes reach services, by the name of the service: "sns"; by default that of
            the endpoint.
        behind_seconds: How far its clock is behind that of the machine at first.
    """

    def __init__(
        self,
        templates: Mapping[str, Template],
        code: Path,
        ways: Mapping[str, str] | None = None,
        *,
        behind_seconds: float = 0.0,
    ) -> None:
        self.ways = ways or {}
        self._behind_seconds = behind_seconds
        self.failures: list[Outcome] = []
        self.invocations: Counter[str] = Counter()
        self._code = code
        self._documents = templates
        self._maker = maker = Maker(self.client)
        self._templates = Templates(templates, maker.make)
        self._lock = Lock()
        self._invoked: dict[str, Function] = {}
        self._invoking = Lock()
        # A host signs for STS's own name, and the function `sign` sends the call to the address of the local AWS.
        self.sts = Sts(self.now, other_host=STS_HOST)
        self.endpoint = Endpoint(
            maker.roles,
            maker.keys,
            self._on_write,
            self._kill,
            maker.key_policies,
            self._invoke,
            maker.functions,
            self.sts,
            maker.instances,
            bucket_policies=maker.bucket_policies,
        )
        self.deliveries = Deliveries(maker.roles, maker.admits, self._put)
        self._firehoses: dict[str, Delivery] = {}
        self._functions: list[Function] = []
        self._workers: list[Worker] = []
        self._clients: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> LocalAws:
        if not _ONLY_ONE.acquire(blocking=False):
            raise LocalAwsError("another local AWS runs in this process")
        with ExitStack() as stack:
            stack.callback(_ONLY_ONE.release)
            self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local-aws-")))
            self.clock = Clock(self._scratch / "moved", self._behind_seconds)
            stack.enter_context(self.endpoint)
            for patched in (self.deliveries.patched(), direct_puts(self._put), *patches(self.now)):
                stack.enter_context(patched)
            moto_api_backend.reset()
            stack.callback(moto_api_backend.reset)
            self._began = self.now()
            self._templates.make_all()
            stack.callback(self._stop)
            self._start()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._exit.close()
        if kind is None and self.refused:
            raise LocalAwsError(f"{len(self.refused)} calls were refused, the first: {self.refused[0]}")

    # Resources

    def environment(self, access_key: str = "local") -> dict[str, str]:
        """Return the variables with which boto3 in another process uses this AWS."""
        key = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}
        ways = {f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in self.ways.items()}
        return {"AWS_ENDPOINT_URL": self.endpoint.url, "AWS_EC2_METADATA_DISABLED": "true", **ways, **key}

    def instance_environment(self, role: str, instance: str) -> dict[str, str]:
        """Return the variables with which boto3 in another process uses this AWS as an instance with a role.

        Args:
            role: The name of the role.
            instance: The id of the instance: "i-0123456789abcdef0".
        """
        return {**self.environment(), **self.sts.hand_out(Session(role, instance)).environment()}

    def client(self, service: str, role: str = "local") -> Any:
        """Return boto3's client of a service, restricted to the permissions of a role if one is named."""
        with self._lock:  # boto3's sessions are not thread-safe
            if (service, role) not in self._clients:
                secret = {"aws_access_key_id": role, "aws_secret_access_key": "local"}
                where = {"region_name": REGION, "endpoint_url": self.endpoint.url}
                self._clients[service, role] = _SESSION.client(service, **where, **secret)  # type: ignore[call-overload]
            return self._clients[service, role]

    def physical_id(self, stack: str, path: str) -> str:
        """Return what `Ref` gives for a resource, by its logical id or its construct path within the stack."""
        return self._templates.find(stack, path).ref

    def output(self, stack: str, name: str) -> str:
        """Return the value of a stack's output."""
        return self._templates.output(stack, name)

    @property
    def instances(self) -> Instances:
        """What the hosts of the templates use of AWS."""
        return self._maker.instances

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self.clock.now()

    # Running it

    def run_until_idle(self, timeout: float = 60.0) -> None:
        """Wait until no work is left; raises `TimeoutError`, or `LocalAwsError` if a worker failed."""

        def settled() -> bool:
            return any(worker.error for worker in self._workers) or all(worker.idle for worker in self._workers)

        with self.clock.changed:
            done = self.clock.changed.wait_for(settled, timeout)
        for worker in self._workers:
            if worker.error:
                raise LocalAwsError(f"{worker.name} stopped") from worker.error
        if not done:
            busy = [worker.name for worker in self._workers if not worker.idle]
            raise TimeoutError(f"after {timeout} s still busy: {', '.join(busy)}")

    def tick(self, seconds: float, timeout: float = 60.0) -> None:
        """Move the clock forward, for the functions too, and wait until everything that is due is done."""
        self.clock.move(seconds)
        self.run_until_idle(timeout)

    @property
    def refused(self) -> list[Call]:
        """The calls that were denied."""
        return [call for call in self.endpoint.calls if call.refused]

    @property
    def mails(self) -> list[Mail]:
        """The e-mails that SNS would have sent."""
        return self.deliveries.mails

    def unneeded_permissions(self, reasons: Mapping[str, str]) -> list[str]:
        """Return the permissions that no call needed, and the reasons that do not apply to any of them.

        Args:
            reasons: Why a permission may stay unused, by the permission as this method returns it, with wildcards.
        """
        policies = [*self._maker.roles.values(), *self._maker.key_policies.values()]
        lines = [line for policy in policies for line in policy.unneeded()]
        stale = [f"{reason}: all of these were needed" for reason in reasons if not fnmatch.filter(lines, reason)]
        return [line for line in lines if not any(fnmatch.fnmatchcase(line, reason) for reason in reasons)] + stale

    def log(self, name: str) -> str:
        """Return a function's log, by the end of its handler ("evaluate.handler") or its physical name."""
        [log] = {f.log for f in self._functions if name == f.spec.name or f.spec.handler.endswith(name)}
        return log.read_text() if log.exists() else ""

    def fired_alarms(self) -> set[str]:
        """Return the names of the alarms, on metrics of the functions, that were in alarm at any time until now."""
        logs = {function.log for function in self._functions}
        written = [log.read_text() for log in logs if log.exists()]
        return fired_alarms(self._documents.values(), written, self._began, self.now())

    def invoke(self, function: Function, event: Any) -> Outcome:
        """Run a function; a failure is also added to `failures`."""
        self.clock.note()
        outcome = function.invoke(event)
        with self._lock:
            self.invocations[outcome.function] += 1
            if outcome.error:
                self.failures.append(outcome)
        return outcome

    # Internals

    def _invoke(self, arn: str, body: bytes) -> Response:
        """Run a function for a caller who waits for the answer; one at a time."""
        with self._invoking:
            if arn not in self._invoked:
                self._invoked[arn] = self._function(arn)
            outcome = self.invoke(self._invoked[arn], json.loads(body))
        failed = {"X-Amz-Function-Error": "Unhandled"} if outcome.error else {}
        said = {"errorMessage": outcome.error} if outcome.error else outcome.payload
        return Response(json.dumps(said), headers=failed, content_type="application/json")

    def _function(self, arn: str) -> Function:
        """Create an execution environment for one poller."""
        spec = self._maker.functions[arn]
        log = self._scratch / f"{spec.name}.log"
        own = self._code.with_name(f"{self._code.name}-{spec.handler.split('.')[-2]}")
        code = own if own.is_dir() else self._code
        made = Function(spec, code, log, self.clock, self.environment(spec.role))
        self._functions.append(made)
        return made

    def _put(self, delivery_stream_arn: str, line: bytes) -> None:
        self._firehoses[delivery_stream_arn].put(line)

    def _start(self) -> None:
        workers = list[Worker]()
        for arn, destination in self._maker.deliveries.items():
            self._firehoses[arn] = Delivery(destination, self)
            workers.append(Worker(arn, self.clock, self._firehoses[arn].step))
        for mapping in self._maker.mappings:
            name = f"{mapping['FunctionName']} from {mapping['EventSourceArn']}"
            of_rows = ":dynamodb:" in mapping["EventSourceArn"]
            workers += [Worker(name, self.clock, one.step, of_rows=of_rows) for one in self._pollers(mapping)]
        for arn, rule in self._maker.rules.items():
            workers += [Worker(arn, self.clock, schedule.step) for schedule in self._follow(arn, rule)]
        for worker in workers:
            worker.start()
        self._workers = workers

    def _pollers(self, mapping: Mapping[str, Any]) -> Iterator[KinesisShard | Queue]:
        source, function = mapping["EventSourceArn"], mapping["FunctionName"]
        match source.split(":")[2]:
            case "kinesis":
                role = self._maker.functions[function].role
                for shard in self.client("kinesis", role).list_shards(StreamARN=source)["Shards"]:
                    yield KinesisShard(mapping, self._function(function), self, shard["ShardId"])
            case "sqs":
                for _ in range(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 5)):  # AWS starts with five
                    yield Queue(mapping, self._function(function), self)
            case _:
                raise UnsupportedTemplateError(f"event source mapping of {function}: {source} is not supported")

    def _follow(self, arn: str, rule: Mapping[str, Any]) -> Iterator[Schedule]:
        """Yield the schedules of a rule. moto itself sends S3's events to queues, and checks no policy."""
        scheduled = "ScheduleExpression" in rule
        for target in rule["Targets"]:
            is_queue = target["Arn"].split(":")[2] == "sqs"
            action = "sqs:SendMessage" if is_queue else "lambda:InvokeFunction"
            if not self._maker.admits("events", Need(action, target["Arn"], {"aws:SourceArn": arn})):
                raise UnsupportedTemplateError(f"{arn}: the policy of its target does not allow it")
            if scheduled:
                retries = self._maker.retries.get(target["Arn"], 2)
                function = None if is_queue else self._function(target["Arn"])
                yield Schedule(arn, rule, target, function, self, retries)
        if not scheduled:
            events, name = self.client("events"), arn.rpartition("/")[2]
            events.put_rule(Name=name, EventPattern=json.dumps(rule["EventPattern"]))
            events.put_targets(Rule=name, Targets=rule["Targets"])

    def _stop(self) -> None:
        self.clock.stop()
        for worker in self._workers:
            worker.join()
        for function in self._functions:
            function.close()

    def _on_write(self, request: Request) -> None:
        if request.service == "dynamodb":
            if request.operation in _WRITING:
                self.clock.note_rows()
        elif request.operation.startswith(("Complete", "Publish", "Put", "Send")):
            self.clock.note()

    def _kill(self, environment: str) -> None:
        for function in self._functions:
            if function.id == environment:
                function.kill()
