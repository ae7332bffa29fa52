"""The functions in this process, with moto, the resources of the stack `alerting`, and a clock that tests move."""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from types import ModuleType
from typing import Any, cast
from unittest import mock
from uuid import UUID

import botocore.session
import pytest
import zstandard
from botocore.client import BaseClient
from moto.s3.models import s3_backends

from testbed.aws.firehose import direct_puts
from testbed.aws.template import ACCOUNT
from tests.support.dynamodb import MAIL_KEY, SEAL_KEY, TABLE, all_rows, local_aws, make_client, make_table, session
from vaultwatch.alerts import Alert
from vaultwatch.aws import clients, keys
from vaultwatch.aws.counting import SharedCounting, open_counts
from vaultwatch.aws.first_seen import SharedFirsts, open_memory
from vaultwatch.aws.metrics import variables as metrics_variables
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.frames import Frame, Heartbeat, Records, Reference, encode
from vaultwatch.notify.machine import decode_notification
from vaultwatch.notify.sink import Pace
from vaultwatch.reading.identity import Seen
from vaultwatch.rules import pack
from vaultwatch.rules.pack import Rule
from vaultwatch.store.encoding import decode_alert

ARCHIVE, BUCKET, STREAM = "archive-bucket", "alerts-bucket", "frames"
SHARD = "shardId-000000000000"
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC).timestamp()
PROCESS = UUID("00000000-0000-4000-8000-00000000000a")
AUDIT_TAG, SOCKET_TAG, SERVER_TAG = b"@prod/vault-1/file ", b"@prod/vault-1/socket ", b"@prod/vault-1/server "


class Killed(BaseException):
    """The process was killed."""


@dataclass
class Context:
    """The part of Lambda's context object that is used; the remaining time is on the tests' clock."""

    left_ms: int = 120_000
    memory_limit_in_mb: str = "1024"

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@dataclass
class World:
    """The local AWS in which functions run."""

    monkeypatch: pytest.MonkeyPatch
    few: bool = False
    now: float = NOW
    topic: str = ""
    queue: str = ""
    secret: str = ""
    history: list[bytes] = field(default_factory=list)
    _sequence: Iterator[int] = field(default_factory=itertools.count)
    _new: set[str] = field(default_factory=lambda: {"evaluate", "sweep"})

    def _started(self, name: str) -> ModuleType:
        """Return a function as it is used by all tests, which has counted nothing in another world."""
        module = started(name, few=self.few)
        if name in self._new:
            self._new.remove(name)
            counts = partial(open_counts, *module.TABLE)
            self.monkeypatch.setattr(module, "COUNTING", SharedCounting(module.RULES.correlations, counts))
            memory = partial(open_memory, *module.TABLE)
            firsts = SharedFirsts(module.RULES.rules, memory, module.EXPECTATIONS, 90, of_archive=name == "sweep")
            self.monkeypatch.setattr(module, "FIRSTS", firsts)
        return module

    def function(self, name: str) -> ModuleType:
        """Start a function as in a new process; for tests that change it."""
        return start(name, few=self.few)

    def evaluate(self, *frames: bytes) -> Any:
        """Run evaluate on a batch."""
        return self._started("evaluate").handler(kinesis(*frames), Context())

    def evaluate_stored(self, *frames: bytes, memory_mib: int = 1024) -> Any:
        """Run evaluate, with this memory, on a batch that the stream has."""
        context = Context(memory_limit_in_mb=str(memory_mib))
        return self._started("evaluate").handler(kinesis(*frames, numbers=self.put(*frames)), context)

    def put(self, *frames: bytes) -> list[str]:
        """Put frames on the stream, and return their sequence numbers."""
        records: Any = [{"Data": frame, "PartitionKey": "log-1"} for frame in frames]
        put = make_client("kinesis").put_records(StreamName=STREAM, Records=records)
        return [record["SequenceNumber"] for record in put["Records"]]

    def park(self, frame: bytes, body: bytes = b"") -> str:
        """Put a frame on the stream and an object that says that it was parked, and return the object's key."""
        [number] = self.put(frame)
        key = keys.parked(datetime.fromtimestamp(self.now, UTC), f"{SHARD}-{number}")
        make_client("s3").put_object(Bucket=BUCKET, Key=key, Body=body or frame)
        return key

    def discard(self, *frames: bytes, reported: dict[str, Any] | None = None) -> str:
        """Put frames on the stream and Lambda's report that it discarded them, and return the report's key.

        Args:
            frames: The frames.
            reported: The event in the report, by default the frames themselves.
        """
        numbers, key = self.put(*frames), f"aws/lambda/mapping/{SHARD}/2026/11/21/x"
        info = {"shardId": SHARD, "startSequenceNumber": numbers[0], "endSequenceNumber": numbers[-1]}
        report = {"KinesisBatchInfo": info, "payload": json.dumps(reported or kinesis(*frames))}
        make_client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(report).encode())
        return key

    def digest(self) -> Any:
        """Run digest."""
        return started("digest", few=self.few).handler({}, Context(55_000))

    def sweep(self, bucket: str, key: str) -> Any:
        """Run sweep on one object."""
        return self._started("sweep").handler(object_created(bucket, key), Context(900_000))

    def frame(
        self,
        *lines: bytes,
        source: str = "audit",
        sequence: int | None = None,
        at: float | None = None,
        before: dict[str, Seen] | None = None,
    ) -> bytes:
        """Encode these lines as the next frame of their handler."""
        content = Records(b"".join(line.rstrip(b"\n") + b"\n" for line in lines))
        return self._encode(content, source, sequence, at, before)

    def reference(self, bucket: str, key: str, size: int, sha256: str) -> bytes:
        """Encode a frame that refers to lines in S3."""
        return self._encode(Reference(bucket, key, size, 1, sha256))

    def heartbeat(self, heartbeat: Heartbeat) -> bytes:
        """Encode a frame with counters."""
        return self._encode(heartbeat)

    def _encode(
        self,
        content: Any,
        source: Any = "audit",
        sequence: int | None = None,
        at: float | None = None,
        before: dict[str, Seen] | None = None,
    ) -> bytes:
        number = next(self._sequence) if sequence is None else sequence
        moment = datetime.fromtimestamp(self.now if at is None else at, UTC)
        return encode(
            Frame(source, "log-1", PROCESS, number, moment, moment, content, moment.isoformat(), before or {})
        )

    def archive(self, name: str, content: bytes, source: str = "audit-file") -> str:
        """Upload a segment to the archive, and return its key."""
        key = f"archive/source={source}/node=vault-1/dt=2026-11-21/hour=07/{name}.zst"
        make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=zstandard.compress(content))
        return key

    def objects(self, prefix: str) -> dict[str, Any]:
        """Return the objects of the alerts bucket below a prefix, by key."""
        s3 = make_client("s3")
        names = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key) for key in names}

    def alerts(self) -> dict[str, Alert]:
        """Return every alert in the store, by id."""
        found = [decode_alert(row["body"]["B"]) for row in all_rows() if row["sk"]["S"] == "alert"]
        return {alert.id: alert for alert in found}

    def unsent(self) -> int:
        """Return how many alerts and summaries are stored and not published."""
        drafts = [
            json.loads(row["body"]["B"]) for row in all_rows() if row["sk"]["S"].startswith("sink#") and "due_at" in row
        ]
        return sum(max(1, len(draft.get("alert_ids", ()))) for draft in drafts)

    def published(self) -> list[Notification]:
        """Return what was published since the last call, as the queue and the history received it."""
        return [decode_notification(body.encode()) for body in self.queued()] + self.kept()

    def kept(self) -> list[Notification]:
        """Return what was put into the history directly since the last call."""
        lines, self.history[:] = [*self.history], []
        return [decode_notification(json.loads(line)["Message"].encode()) for line in lines]

    def queued(self) -> list[str]:
        """Return the bodies of the messages in the queue since the last call."""
        sqs, bodies = make_client("sqs"), list[str]()
        while found := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            bodies += [one["Body"] for one in found]
            handles: Any = [{"Id": one["MessageId"], "ReceiptHandle": one["ReceiptHandle"]} for one in found]
            sqs.delete_message_batch(QueueUrl=self.queue, Entries=handles)
        return bodies


@dataclass
class Topic:
    """A stand-in for the SNS client: moto's queues take minutes for that many messages."""

    messages: list[Notification] = field(default_factory=list)

    def behind(self, aws: World, name: str) -> Callable[[dict[str, Any], Any], Any]:
        """Return the handler of a function that publishes here."""
        function = aws.function(name)
        aws.monkeypatch.setattr(function, "ALERTS_TOPIC", function.ALERTS_TOPIC._replace(client=self))
        return cast("Callable[[dict[str, Any], Any], Any]", function.handler)

    def publish_batch(self, **asked: Any) -> dict[str, Any]:
        """Accept all entries."""
        entries = asked["PublishBatchRequestEntries"]
        self.messages += [decode_notification(json.loads(entry["Message"])["sqs"].encode()) for entry in entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def for_people(self) -> list[Notification]:
        """Return the notifications for people."""
        return [message for message in self.messages if message.disposition in NOTIFIED]


FEW = frozenset(
    {
        "audit_device_enabled",
        "audit_entry_over_budget",
        "audit_seal_requested",
        "audit_secret_read",
        "audit_secrets_read_in_bulk",
    }
)
"""The rules of the shipped pack that functions have here: each has a row in the table, which every digest reads."""


def few_rules() -> list[Rule]:
    """Return those rules of the shipped pack."""
    return [rule for rule in pack.shipped_rules() if rule.name in FEW]


def start(name: str, *, few: bool = False) -> ModuleType:
    """Import a function again."""
    for module in [module for module in sys.modules if module.startswith("lambdas.")]:
        del sys.modules[module]
    clients._session.cache_clear()
    rules = few_rules() if few else pack.shipped_rules()
    with (
        mock.patch.object(botocore.session, "get_session", session),
        mock.patch.object(pack, "shipped_rules", return_value=rules),
    ):
        return importlib.import_module(f"lambdas.{name}")


@cache
def started(name: str, *, few: bool) -> ModuleType:
    """Start a function once for all tests, whose worlds use the same names."""
    return start(name, few=few)


@contextmanager
def world(monkeypatch: pytest.MonkeyPatch, *, few: bool = False) -> Iterator[World]:
    """Return a new world; with `few` rules, which make a test of many invocations three times faster."""
    made = World(monkeypatch, few)
    with local_aws(), direct_puts(lambda arn, line: made.history.append(line)):
        make_table(make_client("dynamodb"))
        place: Any = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
        for bucket in (ARCHIVE, BUCKET):
            make_client("s3").create_bucket(Bucket=bucket, **place)
            make_client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        make_client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
        made.topic = make_client("sns").create_topic(Name="alerts")["TopicArn"]
        made.queue = make_client("sqs").create_queue(QueueName="slack")["QueueUrl"]
        arn = make_client("sqs").get_queue_attributes(QueueUrl=made.queue, AttributeNames=["QueueArn"])
        make_client("sns").subscribe(
            TopicArn=made.topic,
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )
        made.secret = make_client("secretsmanager").create_secret(Name="webhook")["ARN"]
        variables = {
            "AWS_DEFAULT_REGION": "eu-west-1",
            "ALERT_MEMORY_DAYS": "90",
            "ARCHIVE_BUCKET_NAME": ARCHIVE,
            "BUCKET_NAME": BUCKET,
            "HISTORY_STREAM_NAME": "history",
            "MAIL_KEY": MAIL_KEY,
            **metrics_variables("tested", "vaultwatch"),
            "ROW_SEAL_KEY": SEAL_KEY,
            "SLACK_SECRET_ARN": made.secret,
            "STREAM_ARN": f"arn:aws:kinesis:eu-west-1:123456789012:stream/{STREAM}",
            "TABLE_NAME": TABLE,
            "TIMEZONE": "UTC",
            "TOPIC_ARN": made.topic,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(time, "time", lambda: made.now)
        monkeypatch.setattr(Pace, "wait", lambda pace: None)
        yield made


@dataclass
class Calls:
    """The AWS calls since `watching` began, as `Service.Operation`."""

    names: list[str] = field(default_factory=list)


Judge = Callable[[int, str, bool], None]
"""Called before the n-th call is made (False) and after it (True); may raise."""


@contextmanager
def watching(judge: Judge = lambda number, name, made: None) -> Iterator[Calls]:
    """Count AWS calls, and let a test fail or kill at any of them."""
    calls, original = Calls(), BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, arguments: Any) -> Any:
        name, number = f"{client.meta.service_model.service_id}.{operation}", len(calls.names)
        calls.names.append(name)
        judge(number, name, False)
        answer = original(client, operation, arguments)
        judge(number, name, True)
        return answer

    with mock.patch.object(BaseClient, "_make_api_call", call):
        yield calls


def sealed(header: dict[str, Any], lines: bytes = b"") -> bytes:
    """Encode a frame with any header, even one that `ship` would never write."""
    content = zstandard.ZstdCompressor(write_checksum=True).compress(json.dumps(header).encode() + b"\n" + lines)
    return struct.pack("<III", 0x184D2A5B, 4, zlib.crc32(content)) + content


def kinesis(*frames: bytes, numbers: Sequence[str] = (), arrived: float = NOW) -> dict[str, Any]:
    """Return the event of a Kinesis event source; its sequence numbers are made up unless they are given."""
    made = [f"4959033827149025660855969253836157109592157598913658{number:04}" for number in range(len(frames))]
    return {"Records": [_kinesis(number, data, arrived) for number, data in zip(numbers or made, frames, strict=True)]}


def _kinesis(sequence: str, data: bytes, arrived: float) -> dict[str, Any]:
    return {
        "kinesis": {
            "sequenceNumber": sequence,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": arrived,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"{SHARD}:{sequence}",
    }


def object_created(bucket: str, key: str) -> dict[str, Any]:
    """Return the event of an SQS event source with EventBridge's event of a new object."""
    # Without a call, which tests would count.
    stored = s3_backends[ACCOUNT]["aws"].buckets[bucket].keys.get(key)
    version = stored.version_id if stored else "null"
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "version-id": version}}
    body = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    return {"Records": [queue_record(json.dumps(body))]}


def queue_record(body: str, number: int = 0, receives: int = 1) -> dict[str, Any]:
    """Return one record of an SQS event source."""
    return {
        "messageId": f"message-{number}",
        "receiptHandle": f"handle-{number}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:slack",
    }


def entry(
    number: int, path: str = "sys/audit/ops", *, kind: str = "response", principal: str = "alice", **more: Any
) -> bytes:
    """Make an audit entry, with an event of its own for each number; by default it raises audit_device_enabled."""
    request = {"id": event_key(number), "operation": "update", "path": path}
    auth = {"display_name": principal, "entity_id": principal, "policies": ["default"]}
    fields: dict[str, Any] = {"time": "2026-11-21T07:59:58.000000001Z", "type": kind, "auth": auth, "request": request}
    if kind == "response":
        fields["response"] = {"mount_type": "system"}
    return AUDIT_TAG + json.dumps({**fields, **more}).encode()


def event_key(number: int) -> str:
    """Return the event key of an entry."""
    return f"00000000-0000-4000-8000-{number:012d}"


def metrics(printed: str) -> dict[str, list[dict[str, Any]]]:
    """Read the lines in CloudWatch's embedded metric format, by the name of their metrics."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in printed.splitlines():
        row = json.loads(line)
        for metric in row["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            found.setdefault(metric["Name"], []).append(row)
    return found


def total(printed: str, name: str, **dimensions: str) -> float:
    """Return the sum of a metric over all lines with these dimensions."""
    rows = [row for row in metrics(printed).get(name, []) if dimensions.items() <= row.items()]
    return sum(sum(row[name]) for row in rows)
