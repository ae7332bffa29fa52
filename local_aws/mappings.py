"""What starts functions: event source mappings on Kinesis and SQS, rules on schedules and events.

Facts: Lambda guide, "Processing records from Kinesis", "Using Lambda with SQS", "Retain discarded batch records",
"Asynchronous invocation". Each worker here is one poller of AWS's; it acts in the function's role.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Protocol

from moto.events.models import EventPattern

from local_aws.functions import FunctionSpec, Outcome
from local_aws.template import ACCOUNT, REGION, NotDoneHereError

_MAX_EVENT_BYTES = 6 * 1024 * 1024
_LONGEST_BACKOFF_SECONDS = 60.0
NEVER_SECONDS = 20_000  # invisibility beyond any run; moto allows 43,200 in all
_PARTIAL = ["ReportBatchItemFailures"]
Step = tuple[bool, float | None]


class Runner(Protocol):
    """What runs functions, and tells the time; `hidden_for` has the seconds that a function asked for, by receipt."""

    hidden_for: dict[str, float]

    def invoke(self, arn: str, event: Any) -> Outcome: ...
    def client_of(self, role_arn: str, service: str) -> Any: ...
    def now(self) -> float: ...


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _must_be(mapping: Mapping[str, Any], **allowed: tuple[Any, ...]) -> None:
    for name, values in allowed.items():
        if mapping.get(name, values[0]) not in values:
            raise NotDoneHereError(f"event source mapping of {mapping['FunctionName']}: {name} must be {values} here")


def _failed_items(outcome: Outcome, known: set[str]) -> set[str] | None:
    """The items that a function says have failed; None if all have: an answer that is no good counts as that."""
    try:
        items = {item["itemIdentifier"] for item in (outcome.payload or {}).get("batchItemFailures") or ()}
    except (AttributeError, KeyError, TypeError):
        return None
    return items if items <= known else None


@dataclass
class KinesisShard:
    """Polls one shard for one mapping: in order, each batch until it succeeds, is split, or given up."""

    mapping: Mapping[str, Any]
    function: FunctionSpec
    shard: str
    runner: Runner
    _iterator: str = ""
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _size: int = 0  # of the batch to be tried next; smaller than its records when they are being split
    _tries: int = 0
    _until: float = 0.0

    def __post_init__(self) -> None:
        _must_be(self.mapping, StartingPosition=("TRIM_HORIZON",), ParallelizationFactor=(1,))
        _must_be(self.mapping, MaximumBatchingWindowInSeconds=(0,), FunctionResponseTypes=(_PARTIAL,))

    def step(self) -> Step:
        """Try one batch."""
        if not self._waiting and not self._read():
            return False, None
        if self._until > self.runner.now():
            return False, self._until
        self._give_up_old()
        if self._waiting:
            self._try(self._waiting[: self._size or len(self._waiting)])
        return True, None

    def _read(self) -> bool:
        kinesis = self.runner.client_of(self.function.role_arn, "kinesis")
        arn = {"StreamARN": self.mapping["EventSourceArn"]}
        if not self._iterator:
            kinesis.describe_stream_summary(**arn)
            kind = {"ShardId": self.shard, "ShardIteratorType": self.mapping["StartingPosition"]}
            self._iterator = kinesis.get_shard_iterator(**arn, **kind)["ShardIterator"]
        limit = {"Limit": self.mapping.get("BatchSize", 100)}
        found = kinesis.get_records(**arn, **limit, ShardIterator=self._iterator)
        self._waiting, self._size = [self._record(record) for record in found["Records"]], 0
        self._iterator = found["NextShardIterator"]
        return bool(self._waiting)

    def _record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        moved = self.runner.now() - time.time()  # moto knows real time only, and a record is read as soon as it is put
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": record["SequenceNumber"],
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp() + moved,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self.function.role_arn,
            "awsRegion": REGION,
            "eventSourceARN": self.mapping["EventSourceArn"],
        }

    def _try(self, records: list[dict[str, Any]]) -> None:
        records = records[: _fitting(records)]
        outcome = self.runner.invoke(self.function.arn, {"Records": records})
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        failed = None if outcome.error else _failed_items(outcome, set(numbers))
        first = min((numbers.index(number) for number in failed), default=len(records)) if failed is not None else 0
        if first == len(records):
            self._done(first)
            return
        if first or (len(records) > 1 and self.mapping.get("BisectBatchOnFunctionError")):
            # Lambda splits at the record that is said to have failed, else in half; that uses up no retry.
            self._done(first)
            self._size = len(records) - first if first else len(records) // 2
            self._wait()
            return
        self._tries += 1
        most = self.mapping.get("MaximumRetryAttempts", -1)
        if 0 <= most < self._tries:
            self._give_up(len(records), "RetryAttemptsExhausted", outcome)
        else:
            self._size = len(records)
            self._wait()

    def _wait(self) -> None:
        """A record alone waits longer each time; one that has just been split off is tried at once."""
        self._until = self.runner.now() + min(2.0 ** (self._tries - 1), _LONGEST_BACKOFF_SECONDS) if self._tries else 0

    def _done(self, count: int) -> None:
        if count:
            self._waiting, self._size, self._tries, self._until = self._waiting[count:], 0, 0, 0.0

    def _give_up_old(self) -> None:
        age = self.mapping.get("MaximumRecordAgeInSeconds", -1)
        if age >= 0:
            until = self.runner.now() - age
            old = [r for r in self._waiting if r["kinesis"]["approximateArrivalTimestamp"] < until]
            if old:
                self._give_up(len(old), "RecordAgeExceeded", None)

    def _give_up(self, count: int, condition: str, outcome: Outcome | None) -> None:
        """Write the records, and why, to the on-failure destination, which must be a bucket here."""
        records = self._waiting[:count]
        destination = self.mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        if destination:
            bucket = destination.removeprefix("arn:aws:s3:::")
            when = datetime.fromtimestamp(self.runner.now(), UTC)
            place = (
                f"aws/lambda/{self.mapping['Id']}/{self.shard}/{when:%Y/%m/%d}/{when:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            )
            body = json.dumps(self._report(records, condition, outcome, when))
            s3 = self.runner.client_of(self.function.role_arn, "s3")
            s3.head_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key=place, Body=body.encode())
        self._done(count)

    def _report(
        self, records: list[dict[str, Any]], condition: str, outcome: Outcome | None, when: datetime
    ) -> dict[str, Any]:
        """As in the Lambda guide's example; `payload` is the event, as a string, in a bucket only."""
        first, last = records[0]["kinesis"], records[-1]["kinesis"]
        response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        return {
            "requestContext": {
                "requestId": outcome.request_id if outcome else "",
                "functionArn": self.function.arn,
                "condition": condition,
                "approximateInvokeCount": self._tries,
            },
            **({"responseContext": response} if outcome else {}),
            "version": "1.0",
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "KinesisBatchInfo": {
                "shardId": self.shard,
                "startSequenceNumber": first["sequenceNumber"],
                "endSequenceNumber": last["sequenceNumber"],
                "approximateArrivalOfFirstRecord": _iso(first["approximateArrivalTimestamp"]),
                "approximateArrivalOfLastRecord": _iso(last["approximateArrivalTimestamp"]),
                "batchSize": len(records),
                "streamArn": self.mapping["EventSourceArn"],
            },
            "payload": json.dumps({"Records": records}),
        }


def _fitting(records: list[dict[str, Any]]) -> int:
    """How many of them fit into one event."""
    size = 0
    for count, record in enumerate(records):
        size += len(record["kinesis"]["data"]) + 600
        if size > _MAX_EVENT_BYTES and count:
            return count
    return len(records)


@dataclass
class Queue:
    """Polls a queue for one mapping. Visibility goes by the local clock, of which moto knows nothing."""

    mapping: Mapping[str, Any]
    function: FunctionSpec
    url: str
    runner: Runner
    _hidden: list[tuple[float, str]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)  # several workers poll one queue

    def __post_init__(self) -> None:
        _must_be(self.mapping, MaximumBatchingWindowInSeconds=(0,), FunctionResponseTypes=(_PARTIAL,))
        sqs, wanted = self.runner.client_of(self.function.role_arn, "sqs"), "VisibilityTimeout"
        found = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[wanted])["Attributes"]
        self._visibility_seconds = float(found[wanted])

    @property
    def concurrency(self) -> int:
        """Pollers to have; AWS begins with five."""
        return int(self.mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 5))

    def step(self) -> Step:
        """Take one batch to the function."""
        sqs = self.runner.client_of(self.function.role_arn, "sqs")
        self._show()
        batch = {"MaxNumberOfMessages": self.mapping.get("BatchSize", 10), "VisibilityTimeout": NEVER_SECONDS}
        names = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        messages = sqs.receive_message(QueueUrl=self.url, **batch, **names).get("Messages", ())
        if not messages:
            return False, min((until for until, _ in self._hidden), default=None)
        outcome = self.runner.invoke(self.function.arn, {"Records": [self._record(message) for message in messages]})
        known = {message["MessageId"] for message in messages}
        failed = known if outcome.error else _failed_items(outcome, known)
        now = self.runner.now()
        for message in messages:
            receipt = message["ReceiptHandle"]
            if failed is None or message["MessageId"] in failed:
                seconds = self.runner.hidden_for.pop(receipt, self._visibility_seconds)
                with self._lock:
                    self._hidden.append((now + seconds, receipt))
            else:
                sqs.delete_message(QueueUrl=self.url, ReceiptHandle=receipt)
        return True, None

    def _show(self) -> None:
        """Make those visible again whose time has come; done by SQS itself, so that no role needs it."""
        now = self.runner.now()
        with self._lock:
            shown = [receipt for until, receipt in self._hidden if until <= now]
            self._hidden = [(until, receipt) for until, receipt in self._hidden if until > now]
        for receipt in shown:
            self.runner.client_of("", "sqs").change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0
            )

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {
            name: {
                "stringValue" if "StringValue" in given else "binaryValue": _text(given),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": given["DataType"],
            }
            for name, given in message.get("MessageAttributes", {}).items()
        }
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.mapping["EventSourceArn"],
            "awsRegion": REGION,
        }


def _text(attribute: Mapping[str, Any]) -> str:
    if "StringValue" in attribute:
        return str(attribute["StringValue"])
    return base64.b64encode(attribute["BinaryValue"]).decode()


@dataclass
class Schedule:
    """Starts a function at each period of a rule; what fails is tried again as its asynchronous invocation says."""

    rule_arn: str
    expression: str
    target: Mapping[str, Any]
    runner: Runner
    asynchronous: Mapping[str, Any] = field(default_factory=dict)
    _next: float = field(init=False)
    _again: list[tuple[float, int, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", self.expression)
        if found is None:
            raise NotDoneHereError(f"{self.rule_arn}: {self.expression} is not understood here")
        self._period = int(found[1]) * {"minute": 60, "hour": 3600, "day": 86_400}[found[2]]
        self._next = self.runner.now() + self._period
        self._retries = self.asynchronous.get("MaximumRetryAttempts", 2)  # a minute after, then two

    def step(self) -> Step:
        """Start the function if it is time."""
        now = self.runner.now()
        oldest = now - self.target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 86_400)
        while self._next <= now:
            if self._next > oldest:
                self._again.append((self._next, 0, self._event(self._next)))
            self._next += self._period
        due = next((item for item in self._again if item[0] <= now), None)
        if due is None:
            return False, min([self._next, *(until for until, _, _ in self._again)])
        self._again.remove(due)
        _, tried, event = due
        if self.runner.invoke(self.target["Arn"], event).error and tried < self._retries:
            self._again.append((now + (60, 120)[tried], tried + 1, event))
        return True, None

    def _event(self, seconds: float) -> dict[str, Any]:
        return _event("aws.events", "Scheduled Event", seconds, [self.rule_arn], {})


def _event(source: str, kind: str, seconds: float, resources: list[str], detail: Mapping[str, Any]) -> dict[str, Any]:
    """EventBridge's envelope."""
    return {
        "version": "0",
        "id": f"{seconds:.6f}",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": _iso(seconds),
        "region": REGION,
        "resources": resources,
        "detail": detail,
    }


def object_created(bucket: str, key: str, found: Mapping[str, Any], reason: str, seconds: float) -> dict[str, Any]:
    """The event of a new object; `found` is what HeadObject says (S3 guide, "EventBridge event message structure")."""
    thing = {
        "key": key,
        "size": found["ContentLength"],
        "etag": found["ETag"].strip('"'),
        "sequencer": f"{seconds:.6f}",
    }
    if "VersionId" in found:
        thing["version-id"] = found["VersionId"]
    detail = {"version": "0", "bucket": {"name": bucket}, "object": thing, "request-id": "LOCAL", "requester": ACCOUNT}
    detail |= {"source-ip-address": "127.0.0.1", "reason": reason}
    return _event("aws.s3", "Object Created", seconds, [f"arn:aws:s3:::{bucket}"], detail)


def targets_of(rules: Mapping[str, Mapping[str, Any]], event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The rule and the target, as ARNs, of all that want this event."""
    for arn, rule in rules.items():
        pattern = rule.get("EventPattern")
        if pattern and EventPattern(None, pattern).matches_event(dict(event)):  # type: ignore[arg-type]
            yield from ((arn, target["Arn"]) for target in rule["Targets"])


@dataclass
class Delivery:
    """A Firehose into S3: gathers lines until one of its buffering hints is reached."""

    destination: Mapping[str, Any]
    runner: Runner
    _lines: list[bytes] = field(default_factory=list)
    _until: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        if self.destination.get("CompressionFormat") != "GZIP":
            raise NotDoneHereError(f"{self.destination['Name']}: only GZIP is done here")

    def put(self, line: bytes) -> None:
        """Take a line."""
        with self._lock:
            if not self._lines:
                self._until = self.runner.now() + self.destination["BufferingHints"]["IntervalInSeconds"]
            self._lines.append(line)

    def step(self) -> Step:
        """Write an object if it is time."""
        with self._lock:
            if not self._lines:
                return False, None
            full = sum(map(len, self._lines)) >= self.destination["BufferingHints"]["SizeInMBs"] << 20
            if not full and self._until > self.runner.now():
                return False, self._until
            lines, self._lines = self._lines, []
        bucket = self.destination["BucketARN"].removeprefix("arn:aws:s3:::")
        body = gzip.compress(b"".join(lines))
        self.runner.client_of(self.destination["RoleARN"], "s3").put_object(Bucket=bucket, Key=self._key(), Body=body)
        return True, None

    def _key(self) -> str:
        when = datetime.fromtimestamp(self.runner.now(), UTC)
        words = {"yyyy": f"{when:%Y}", "MM": f"{when:%m}", "dd": f"{when:%d}", "HH": f"{when:%H}"}

        def write(found: re.Match[str]) -> str:
            return re.sub("yyyy|MM|dd|HH", lambda word: words[word[0]], found[1])

        prefix = re.sub(r"!\{timestamp:([^}]*)\}", write, self.destination.get("Prefix", ""))
        if "!{" in prefix:
            raise NotDoneHereError(f"{self.destination['Name']}: prefix {prefix} is not understood here")
        return f"{prefix}{self.destination['Name']}-1-{when:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}.gz"
