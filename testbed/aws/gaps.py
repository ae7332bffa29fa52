"""Fills the gaps between moto 5.2 and AWS.

- moto uses the machine's time, and its S3 sends an event about tags for each new object: `patches`, which includes the
  faster DynamoDB of `testbed.aws.dynamodb`.
- moto's S3 accepts an upload with a wrong checksum, and one without a checksum into a locked bucket: `upload_fault`.
- moto's SNS does not deliver to Firehose and e-mail, fails `publish` if a subscriber cannot be reached, and ignores
  the policies of queues: `Deliveries`.

These gaps remain: throttling and partial failures (use a fault of `Endpoint`, or tests/support/kinesis.py), lifecycle
rules and expiry (nothing is deleted), what policies of buckets allow,
policies of topics and keys, alarms, resharding, access logs, X-Ray, and Firehose's conversions.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from unittest.mock import patch

from botocore.httpchecksum import _CHECKSUM_CLS  # type: ignore[attr-defined]
from moto.core.utils import unix_time
from moto.events.models import events_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.sns.models import Subscription
from moto.sqs.models import sqs_backends

from testbed.aws.calls import Request
from testbed.aws.dynamodb import fast_dynamodb
from testbed.aws.permissions import Need, Policy
from testbed.aws.template import ACCOUNT, REGION

_CHECKSUM = "x-amz-checksum-"


def patches(now: Callable[[], float]) -> Iterator[AbstractContextManager[Any]]:
    """Yield the patches of moto. `now` becomes its time for visibility of messages, arrivals and dates of objects."""
    for module in ("core.utils", "dynamodb.models.table", "kinesis.models", "s3.models"):
        yield patch(f"moto.{module}.utcnow", lambda: datetime.fromtimestamp(now(), UTC).replace(tzinfo=None))
    yield patch("moto.s3.notifications._send_event_bridge_message", _send_created)
    yield fast_dynamodb()


def _send_created(account_id: str, bucket: FakeBucket, event_name: str, key: Any) -> None:
    """Send an object's event to the rules that want it; moto itself ignores all errors, and then no event arrives."""
    if not event_name.startswith("s3:ObjectCreated:"):
        return
    event: Any = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": "aws.s3",
        "detail-type": "Object Created",
        "account": account_id,
        "time": unix_time(),
        "region": bucket.region_name,
        "resources": [bucket.arn],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": {"key": key.name, "size": key.size, "etag": key.etag.strip('"'), "version-id": key.version_id},
            "reason": event_name.rpartition(":")[2],
        },
    }
    for bus in events_backends[account_id][bucket.region_name].event_buses.values():
        for rule in bus.rules.values():
            rule.send_to_targets(event, transform_input=False)


def upload_fault(request: Request) -> str:
    """Return S3's error code if an upload does not match its checksums, or has none in a bucket with Object Lock.

    Returns:
        The error code; "" if there is no fault.
    """
    if request.service != "s3" or request.operation not in ("PutObject", "UploadPart"):
        return ""
    headers = {name.lower(): value for name, value in request.headers.items()}
    given = {name.removeprefix(_CHECKSUM): value for name, value in headers.items() if name.startswith(_CHECKSUM)}
    chunked = "aws-chunked" in headers.get("content-encoding", "")  # over TLS only
    if chunked or "content-md5" in headers or given.keys() - _CHECKSUM_CLS:
        return "NotImplemented"
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(request.arguments["Bucket"])
    if not given and bucket and bucket.object_lock_enabled:
        return "InvalidRequest"
    data, signed = request.get_data(), headers.get("x-amz-content-sha256", "")
    if len(signed) == 64 and sha256(data).hexdigest() != signed:
        return "XAmzContentSHA256Mismatch"
    right = all(_CHECKSUM_CLS[name]().handle(data) == value for name, value in given.items())
    return "" if right else "BadDigest"


@dataclass(frozen=True)
class Mail:
    """An e-mail that a topic would have sent to an address."""

    address: str
    subject: str
    text: str


@dataclass
class Deliveries:
    """Delivers what is published to SNS topics. A failed delivery does not make `publish` fail.

    Attributes:
        roles: Policies by the name of the role; SNS uses a role to write to Firehose.
        admits: Returns whether the policy of a resource lets a service meet a need; for queues.
        to_firehose: Puts a line on the delivery stream with this ARN.
        mails: The e-mails sent.
        failures: The deliveries that failed.
    """

    roles: Mapping[str, Policy]
    admits: Callable[[str, Need], bool]
    to_firehose: Callable[[str, bytes], None]
    mails: list[Mail] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Replace moto's deliveries while the context is open."""
        original = Subscription.publish

        def publish(subscription: Subscription, message: str, message_id: str, **about: Any) -> None:
            matcher = subscription._filter_policy_matcher
            try:
                if matcher is None or matcher.matches(about["message_attributes"], message):
                    self._deliver(original, subscription, message, message_id, about)
            except Exception as error:  # noqa: BLE001  a failure concerns only its subscriber, and is kept
                self.failures.append(f"SNS to {subscription.endpoint}: {type(error).__name__}: {error}")
                self._redrive(subscription, message, message_id, about)

        with patch.object(Subscription, "publish", publish):
            yield

    def _redrive(self, failed: Subscription, message: str, message_id: str, about: dict[str, Any]) -> None:
        """Send what could not be delivered to the dead-letter queue of the subscription, if it has one."""
        if "RedrivePolicy" not in failed.attributes:
            return
        queue = json.loads(failed.attributes["RedrivePolicy"])["deadLetterTargetArn"]
        if not self.admits("sns", Need("sqs:SendMessage", queue, {"aws:SourceArn": failed.topic_arn})):
            self.failures.append(f"SNS to {queue}: the queue's policy does not allow it")
            return
        if about.get("message_structure") == "json":
            message = failed._parse_message_structure(message, failed.protocol)
        body = failed.get_post_data(message, message_id, about.get("subject"), about["message_attributes"])
        sqs_backends[ACCOUNT][REGION].send_message(queue.rpartition(":")[2], json.dumps(body))

    def _deliver(self, original: Any, to: Subscription, message: str, message_id: str, about: dict[str, Any]) -> None:
        if to.protocol == "sqs":
            if not self.admits("sns", Need("sqs:SendMessage", to.endpoint, {"aws:SourceArn": to.topic_arn})):
                raise PermissionError("the queue's policy does not allow it")
            original(to, message, message_id, **about)
            return
        if about.get("message_structure") == "json":
            message = to._parse_message_structure(message, to.protocol)
        if to.protocol == "email":
            self.mails.append(Mail(to.endpoint, about.get("subject") or "", message))
            return
        role = self.roles[to.attributes["SubscriptionRoleArn"].rpartition("/")[2]]
        for action in ("firehose:PutRecord", "firehose:PutRecordBatch"):  # SNS uses both
            if not role.allows(Need(action, to.endpoint)):
                raise PermissionError(f"{role.owner} does not allow {action}")
        line = to.get_post_data(message, message_id, about.get("subject"), about["message_attributes"])
        self.to_firehose(to.endpoint, json.dumps(line).encode() + b"\n")
