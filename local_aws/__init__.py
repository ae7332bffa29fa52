"""AWS on loopback, wired as synthesized templates say: moto's resources, and functions run by the real runtime client.

    with LocalAws(templates, bundle) as aws:
        aws.client("kinesis").put_record(StreamName=aws.output("vaultwatch-alerting", "StreamName"), ...)
        aws.run_until_idle()
        aws.tick(60)

The template decides what there is; `resources` says what is known, `gaps` what moto lacks. One at a time in a process,
because moto keeps its state there.
"""

from __future__ import annotations

import fnmatch
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from moto.moto_api._internal.models import moto_api_backend

from local_aws import mappings
from local_aws.calls import Request
from local_aws.clock import Clock, Worker
from local_aws.endpoint import Call, Endpoint, Fault
from local_aws.functions import Function, Outcome
from local_aws.gaps import Deliveries, Mail, fast_transactions
from local_aws.permissions import Need, service_may
from local_aws.resources import Maker
from local_aws.template import REGION, NotDoneHereError, Template, Templates

__all__ = ["Call", "Fault", "LocalAws", "LocalAwsError", "Mail", "NotDoneHereError", "Outcome"]

_SESSION = boto3.Session()  # reads botocore's descriptions of services once for all
# After which of the event sources there may be work.
_WRITES = {"PutRecord": "kinesis", "PutRecords": "kinesis", "Publish": "sqs", "PublishBatch": "sqs"}
_WRITES |= {"SendMessage": "sqs", "SendMessageBatch": "sqs"}


class LocalAwsError(AssertionError):
    """What was run did what would not have worked on AWS."""


class LocalAws:
    """The resources of `templates`, by stack; functions run from the folder `code`, the bundle for this interpreter.

    While its `with` lasts, workers take what comes to the functions. Leaving it raises `LocalAwsError` if a call was
    refused to a role that nobody took out of `refused`.
    """

    def __init__(self, templates: Mapping[str, Template], code: Path) -> None:
        self.endpoint = Endpoint(on_write=self._on_write, kill=self._kill)
        self.failures: list[Outcome] = []
        self.invocations: Counter[str] = Counter()
        self.deliveries = Deliveries(self._queue_may, self._to_firehose)
        self._code = code
        self._maker = Maker(self.client)
        self._templates = Templates(templates, self._maker.make)
        self._access_keys: dict[str, str] = {}
        self._functions: dict[str, Function] = {}
        self._workers: list[Worker] = []
        self._firehoses: dict[str, mappings.Delivery] = {}
        self.hidden_for: dict[str, float] = {}
        self._lock = Lock()
        self._clients = cache(self._make_client)

    def __enter__(self) -> LocalAws:
        with ExitStack() as stack:
            self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local-aws-")))
            self.clock = Clock(self._scratch / "moved")
            stack.enter_context(self.endpoint)
            stack.enter_context(self.deliveries.in_place_of_motos())
            stack.enter_context(fast_transactions())
            stack.callback(self._clients.cache_clear)
            _reset_moto()
            stack.callback(_reset_moto)
            self._templates.make_all()
            stack.callback(self._stop)
            self._start()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._exit.close()
        if kind is None and self.refused:
            raise LocalAwsError(f"{len(self.refused)} calls were refused, the first: {self.refused[0]}")

    # What there is

    @property
    def endpoint_url(self) -> str:
        """Where all services are."""
        return self.endpoint.url

    def environment(self) -> dict[str, str]:
        """Variables by which boto3 in another process finds it."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        region = {"AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
        return {"AWS_ENDPOINT_URL": self.endpoint_url, **dict.fromkeys(names, "local"), **region}

    def client(self, service: str) -> Any:
        """boto3's client of a service, which may do all."""
        return self.client_of("", service)

    def physical_id(self, stack: str, path: str) -> str:
        """What `Ref` gives of a resource: by its logical id or its construct path within the stack."""
        return self._templates.find(stack, path).ref

    def output(self, stack: str, name: str) -> str:
        """The value of a stack's output."""
        return self._templates.output(stack, name)

    # What happens

    def run_until_idle(self, timeout: float = 60.0) -> None:
        """Return when nothing is left to do before time moves on; raises `TimeoutError`, or what a worker raised."""

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
        """Let it be that much later, and whatever is due then be done. `time.time` of functions moves on too."""
        self.clock.move(seconds)
        self.run_until_idle(timeout)

    @property
    def calls(self) -> list[Call]:
        """Every call in a role, in order."""
        return self.endpoint.calls

    @property
    def refused(self) -> list[Call]:
        """Those of them that the role does not allow."""
        return [call for call in self.calls if call.refused]

    @property
    def mails(self) -> list[Mail]:
        """What addresses would have got from SNS."""
        return self.deliveries.mails

    def unneeded_permissions(self, reasons: Mapping[str, str]) -> list[str]:
        """What roles allow and no call needed, and reasons for which there is no such permission.

        `reasons` are by what they excuse, as this says it, with `*` for any text.
        """
        lines = [line for role in self._maker.plan.roles.values() for line in role.unneeded()]
        stale = [f"{reason}: all of it was needed" for reason in reasons if not fnmatch.filter(lines, reason)]
        return [line for line in lines if not any(fnmatch.fnmatchcase(line, reason) for reason in reasons)] + stale

    def log(self, name: str) -> str:
        """What a function wrote, by the end of its handler ("evaluate.handler") or its physical name."""
        log = self._function(name).log
        return log.read_text() if log.exists() else ""

    def invoke(self, arn: str, event: Any) -> Outcome:
        """Run a function, by ARN; a failure is kept in `failures` too."""
        outcome = self._functions[arn].invoke(event)
        with self._lock:
            self.invocations[outcome.function] += 1
            if outcome.error:
                self.failures.append(outcome)
        return outcome

    def client_of(self, role_arn: str, service: str) -> Any:
        """boto3's client of a service in a role; its calls are held against it."""
        with self._lock:  # boto3 makes clients in one thread at a time only
            return self._clients(role_arn, service)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now()

    # How it is done

    def _make_client(self, role_arn: str, service: str) -> Any:
        key = self._access_key(role_arn)
        secret = {"aws_access_key_id": key, "aws_secret_access_key": "local"}
        return _SESSION.client(service, region_name=REGION, endpoint_url=self.endpoint_url, **secret)  # type: ignore[call-overload]

    def _access_key(self, role_arn: str) -> str:
        """The access key of a role, which the endpoint knows; "local" for nobody's."""
        if not role_arn:
            return "local"
        if role_arn not in self._access_keys:
            key = self._access_keys[role_arn] = f"ROLE{len(self._access_keys)}"
            self.endpoint.roles[key] = self._maker.plan.roles[role_arn]
        return self._access_keys[role_arn]

    def _start(self) -> None:
        plan = self._maker.plan
        self.endpoint.keys, self.endpoint.locked = plan.keys, plan.locked_buckets
        for arn, spec in plan.functions.items():
            credentials = partial(self._credentials, spec.role_arn)
            self._functions[arn] = Function(spec, self._code, self._scratch, self.clock, credentials)
        for mapping in plan.mappings:
            self._workers += self._pollers(mapping)
        for arn, rule in plan.rules.items():
            self._workers += self._schedules(arn, rule)
        for arn, destination in plan.deliveries.items():
            self._firehoses[arn] = mappings.Delivery(destination, self)
            self._workers.append(Worker(arn, self.clock, arn, self._firehoses[arn].step))
        for worker in self._workers:
            worker.start()

    def _stop(self) -> None:
        self.clock.stop()
        for function in self._functions.values():
            function.stop()
        for worker in self._workers:
            worker.join()
        for function in self._functions.values():
            function.close()

    def _credentials(self, role_arn: str, environment: str) -> dict[str, str]:
        """Variables by which a function's calls are known as its own."""
        with self._lock:
            key = self._access_key(role_arn)
        secret = {"AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": environment}
        return {"AWS_ENDPOINT_URL": self.endpoint_url, "AWS_ACCESS_KEY_ID": key, **secret}

    def _pollers(self, mapping: Mapping[str, Any]) -> list[Worker]:
        source, spec = mapping["EventSourceArn"], self._maker.plan.functions[mapping["FunctionName"]]
        steps: Sequence[Any]
        if source.split(":")[2] == "kinesis":
            shards = self.client_of(spec.role_arn, "kinesis").list_shards(StreamARN=source)["Shards"]
            steps = [mappings.KinesisShard(mapping, spec, shard["ShardId"], self).step for shard in shards]
        elif source.split(":")[2] == "sqs":
            url = self.client("sqs").get_queue_url(QueueName=source.split(":")[-1])["QueueUrl"]
            queue = mappings.Queue(mapping, spec, url, self)
            steps = [queue.step] * queue.concurrency
        else:
            raise NotDoneHereError(f"event source mapping of {spec.name}: {source} is no source known here")
        return [Worker(f"{spec.name} from {source}", self.clock, source.split(":")[2], step) for step in steps]

    def _schedules(self, arn: str, rule: Mapping[str, Any]) -> list[Worker]:
        found = []
        for target in rule["Targets"] if "ScheduleExpression" in rule else ():
            need = Need("lambda:InvokeFunction", target["Arn"], {"aws:SourceArn": arn})
            if not service_may(self._maker.plan.policies.get(target["Arn"], ()), "events", need):
                raise NotDoneHereError(f"{arn}: its target does not let it in")
            asynchronous = self._maker.plan.asynchronous.get(target["Arn"], {})
            schedule = mappings.Schedule(arn, rule["ScheduleExpression"], target, self, asynchronous)
            found.append(Worker(arn, self.clock, arn, schedule.step))
        return found

    def _on_write(self, request: Request) -> None:
        """Let workers look, and say on the event bus what has happened in S3."""
        made = request.method == "PUT" and "partNumber" not in request.query
        if request.service == "s3" and (made or "uploadId" in request.query) and request.method != "DELETE":
            bucket, key = request.bucket_and_key
            if key and bucket in self._maker.plan.buckets_with_events:
                self._say_created(bucket, key, "PutObject" if made else "CompleteMultipartUpload")
        elif request.operation == "ChangeMessageVisibility" and "x-amz-security-token" in request.headers:
            # By a function: the local clock is to decide, not moto's.
            asked = request.arguments
            self.hidden_for[asked["ReceiptHandle"]] = float(asked["VisibilityTimeout"])
            self.client("sqs").change_message_visibility(**{**asked, "VisibilityTimeout": mappings.NEVER_SECONDS})
        elif request.operation in _WRITES:
            self.clock.note_write(_WRITES[request.operation])

    def _say_created(self, bucket: str, key: str, reason: str) -> None:
        found = self.client("s3").head_object(Bucket=bucket, Key=key)
        event = mappings.object_created(bucket, key, found, reason, self.now())
        for rule, target in mappings.targets_of(self._maker.plan.rules, event):
            name, may = target.split(":")[-1], self._queue_may(target, rule, "events")
            if target.split(":")[2] != "sqs" or not may:
                self.deliveries.failures.append(f"EventBridge to {target}: " + ("no queue" if may else "not allowed"))
                continue
            url = self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
            self.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(event))

    def _queue_may(self, queue_arn: str, source_arn: str, service: str = "sns") -> bool:
        need = Need("sqs:SendMessage", queue_arn, {"aws:SourceArn": source_arn})
        return service_may(self._maker.plan.policies.get(queue_arn, ()), service, need)

    def _to_firehose(self, attributes: Mapping[str, Any], arn: str, line: bytes) -> None:
        role = self._maker.plan.roles[attributes["SubscriptionRoleArn"]]
        for action in ("firehose:PutRecord", "firehose:PutRecordBatch"):  # SNS uses either
            if not role.allows(Need(action, arn)):
                raise PermissionError(f"{role.name} does not allow {action}")
        self._firehoses[arn].put(line)
        self.clock.note_write(arn)

    def _kill(self, environment: str) -> None:
        for function in self._functions.values():
            function.kill(environment)

    def _function(self, name: str) -> Function:
        [found] = [f for f in self._functions.values() if name == f.spec.name or f.spec.handler.endswith(name)]
        return found


def _reset_moto() -> None:
    moto_api_backend.reset()
