"""The event source mappings on Kinesis and SQS, the schedules, and the Firehose of the local AWS.

Sources: Lambda guide, "Processing records from Kinesis", "Using Lambda with SQS",
"Retain discarded batch records",
"Asynchronous invocation". Each class is one of AWS's pollers and uses the function's role. Its `step` does one piece of
work and returns whether there was any.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Any

from testbed.aws.functions import Function, Outcome
from testbed.aws.template import ACCOUNT, REGION, UnsupportedTemplateError

if TYPE_CHECKING:
    from testbed.aws import LocalAws

_MAX_EVENT_BYTES = 6 * 1024 * 1024
_LONGEST_BACKOFF_SECONDS = 60.0


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failed_items(outcome: Outcome, ids: list[str]) -> set[str]:
    """Return the items that a function reports as failed: all of them if it failed, or if its report is invalid."""
    try:
        items = {item["itemIdentifier"] for item in (outcome.payload or {}).get("batchItemFailures") or ()}
    except (AttributeError, KeyError, TypeError):
        return set(ids)
    return set(ids) if outcome.error or not items <= set(ids) else items


@dataclass
class KinesisShard:
    """Polls one shard for one mapping, in order: each batch until it succeeds, is split, or is discarded."""

    mapping: Mapping[str, Any]
    function: Function
    aws: LocalAws
    shard: str
    _iterator: str = ""
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _size: int = 0  # of the next batch; smaller than `_waiting` while a batch is being split
    _tries: int = 0
    _until: float = 0.0

    def step(self) -> bool:
        """Try one batch."""
        self._waiting = self._waiting or self._read()
        now, age = self.aws.now(), self.mapping.get("MaximumRecordAgeInSeconds", -1)
        if not self._waiting or self._until > now:
            return False
        if old := sum(self._arrival(record) < now - age for record in self._waiting if age >= 0):
            self._give_up(old, "RecordAgeExceeded", None)
        else:
            self._try(self._waiting[: self._size or len(self._waiting)])
        return True

    def _read(self) -> list[dict[str, Any]]:
        kinesis = self.aws.client("kinesis", self.function.spec.role)
        arn = {"StreamARN": self.mapping["EventSourceArn"]}
        if not self._iterator:
            kinesis.describe_stream_summary(**arn)
            start = {"ShardId": self.shard, "ShardIteratorType": "TRIM_HORIZON"}
            self._iterator = kinesis.get_shard_iterator(**arn, **start)["ShardIterator"]
        found = kinesis.get_records(**arn, Limit=self.mapping.get("BatchSize", 100), ShardIterator=self._iterator)
        self._iterator = found["NextShardIterator"]
        return [self._record(record) for record in found["Records"]]

    def _record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": record["SequenceNumber"],
                "data": base64.b64encode(record["Data"]).decode(),
                "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/{self.function.spec.role}",
            "awsRegion": REGION,
            "eventSourceARN": self.mapping["EventSourceArn"],
        }

    def _arrival(self, record: Mapping[str, Any]) -> float:
        return float(record["kinesis"]["approximateArrivalTimestamp"])

    def _number(self, record: Mapping[str, Any]) -> str:
        return str(record["kinesis"]["sequenceNumber"])

    def _bytes(self, record: Mapping[str, Any]) -> int:
        return len(record["kinesis"]["data"]) + 600

    def _try(self, records: list[dict[str, Any]]) -> None:
        sizes = accumulate(map(self._bytes, records))
        records = records[: max(1, sum(size <= _MAX_EVENT_BYTES for size in sizes))]
        outcome = self.aws.invoke(self.function, {"Records": records})
        numbers = list(map(self._number, records))
        failed = _failed_items(outcome, numbers)
        first = min(map(numbers.index, failed), default=len(records))
        self._done(first)
        if first == len(records):
            return
        if first or (len(records) > 1 and self.mapping.get("BisectBatchOnFunctionError")):
            # Lambda splits at the record that is reported as failed, else in half; this does not count as a retry.
            self._size = len(records) - first if first else len(records) // 2
        elif 0 <= self.mapping.get("MaximumRetryAttempts", -1) <= self._tries:
            self._tries += 1
            self._give_up(len(records), "RetryAttemptsExhausted", outcome)
        else:
            # A single record waits longer each time; one that has just been split off is tried at once.
            self._size, self._tries = len(records), self._tries + 1
            self._until = self.aws.now() + min(2.0 ** min(self._tries - 1, 10), _LONGEST_BACKOFF_SECONDS)

    def _done(self, count: int) -> None:
        if count:
            self._waiting, self._size, self._tries, self._until = self._waiting[count:], 0, 0, 0.0

    def _give_up(self, count: int, condition: str, outcome: Outcome | None) -> None:
        """Write the records, with the reason, to the on-failure destination, which must be a bucket."""
        if destination := self.mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            s3, bucket = self.aws.client("s3", self.function.spec.role), destination.removeprefix("arn:aws:s3:::")
            when, name = datetime.fromtimestamp(self.aws.now(), UTC), uuid.uuid5(uuid.NAMESPACE_URL, destination)
            key = f"aws/lambda/{name}/{self.shard}/{when:%Y/%m/%d}/{when:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            s3.head_bucket(Bucket=bucket)
            report = self._report(self._waiting[:count], condition, outcome)
            s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(report).encode())
        self._done(count)

    def _report(self, records: list[Any], condition: str, outcome: Outcome | None) -> dict[str, Any]:
        """Return a report as in the Lambda guide's example, with the event as a string in `payload`."""
        first, last = records[0]["kinesis"], records[-1]["kinesis"]
        response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        return {
            "requestContext": {
                "requestId": outcome.request_id if outcome else "",
                "functionArn": self.function.spec.arn,
                "condition": condition,
                "approximateInvokeCount": self._tries,
            },
            **({"responseContext": response} if outcome else {}),
            "version": "1.0",
            "timestamp": _iso(self.aws.now()),
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


@dataclass
class Queue:
    """Polls a queue for one mapping."""

    mapping: Mapping[str, Any]
    function: Function
    aws: LocalAws

    def __post_init__(self) -> None:
        self._sqs = self.aws.client("sqs", self.function.spec.role)
        name = self.mapping["EventSourceArn"].rpartition(":")[2]
        self._url = {"QueueUrl": self.aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]}
        self._sqs.get_queue_attributes(**self._url, AttributeNames=["All"])

    def step(self) -> bool:
        """Pass one batch to the function; messages that fail reappear after the queue's visibility timeout."""
        names = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        size = {"MaxNumberOfMessages": self.mapping.get("BatchSize", 10)}
        messages = self._sqs.receive_message(**self._url, **size, **names).get("Messages", ())
        if messages:
            records = [self._record(message) for message in messages]
            outcome = self.aws.invoke(self.function, {"Records": records})
            failed = _failed_items(outcome, [message["MessageId"] for message in messages])
            for message in messages:
                if message["MessageId"] not in failed:
                    self._sqs.delete_message(**self._url, ReceiptHandle=message["ReceiptHandle"])
        return bool(messages)

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        attributes = message.get("MessageAttributes", {}).items()
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {
                name: {"stringValue": given["StringValue"], "dataType": given["DataType"]} for name, given in attributes
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.mapping["EventSourceArn"],
            "awsRegion": REGION,
        }


@dataclass
class Schedule:
    """Starts a function once per period of a rule, and retries a failure like any asynchronous invocation.

    Without a function, the target is a queue, which gets the event as a message.

    After a jump of the clock it also starts the periods that were skipped, unless they are too old for an event.
    """

    arn: str
    rule: Mapping[str, Any]
    target: Mapping[str, Any]
    function: Function | None
    aws: LocalAws
    retries: int = 2  # after one minute, then after two
    _waiting: list[tuple[float, int, float]] = field(
        default_factory=list
    )  # when to try, tries so far, the time of the period

    def __post_init__(self) -> None:
        expression = self.rule["ScheduleExpression"]
        if found := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression):
            self._period = int(found[1]) * {"minute": 60, "hour": 3600, "day": 86_400}[found[2]]
            self._next = self.aws.now() + self._period
        elif found := re.fullmatch(r"cron\((\d+) \* \* \* \? \*\)", expression):
            self._period, since = 3600, 60 * int(found[1])
            self._next = (self.aws.now() - since) // 3600 * 3600 + since + 3600
        else:
            raise UnsupportedTemplateError(f"{self.arn}: {expression} is not supported")

    def step(self) -> bool:
        """Start the function if a period has begun or a retry is due."""
        now = self.aws.now()
        oldest = now - self.target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 86_400)
        while self._next <= now:
            self._waiting += [(self._next, 0, self._next)] if self._next > oldest else []
            self._next += self._period
        due = [one for one in self._waiting if one[0] <= now]
        if due:
            self._waiting.remove(due[0])
            _, tries, seconds = due[0]
            if self._fails(self._event(seconds)) and tries < self.retries:
                self._waiting.append((now + 60 * (tries + 1), tries + 1, seconds))
        return bool(due)

    def _fails(self, event: dict[str, Any]) -> bool:
        if self.function:
            return bool(self.aws.invoke(self.function, event).error)
        sqs, name = self.aws.client("sqs"), self.target["Arn"].rpartition(":")[2]
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=json.dumps(event))
        return False

    def _event(self, seconds: float) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "region": REGION,
            "resources": [self.arn],
            "detail": {},
        }


@dataclass
class Delivery:
    """A Firehose that writes to S3 when one of its buffering hints is reached."""

    destination: Mapping[str, Any]
    aws: LocalAws
    _lines: list[bytes] = field(default_factory=list)
    _until: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        prefix = self.destination.get("Prefix", "")
        if self.destination.get("CompressionFormat") != "GZIP" or "!{" in prefix.replace(_DAY, ""):
            raise UnsupportedTemplateError(f"{self.destination['Name']}: only GZIP by {_DAY} is supported")

    def put(self, line: bytes) -> None:
        """Buffer a line."""
        with self._lock:
            if not self._lines:
                self._until = self.aws.now() + self.destination["BufferingHints"]["IntervalInSeconds"]
            self._lines.append(line)

    def step(self) -> bool:
        """Write an object if a buffering hint is reached."""
        now = self.aws.now()
        with self._lock:
            full = sum(map(len, self._lines)) >= self.destination["BufferingHints"]["SizeInMBs"] << 20
            if not self._lines or (not full and self._until > now):
                return False
            lines, self._lines = self._lines, []
        when = datetime.fromtimestamp(now, UTC)
        prefix = self.destination.get("Prefix", "").replace(_DAY, f"{when:%Y-%m-%d}")
        self.aws.client("s3", self.destination["RoleARN"].rpartition("/")[2]).put_object(
            Bucket=self.destination["BucketARN"].rpartition(":")[2],
            Key=f"{prefix}{self.destination['Name']}-1-{when:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}.gz",
            Body=gzip.compress(b"".join(lines)),
        )
        return True


_DAY = "!{timestamp:yyyy-MM-dd}"
