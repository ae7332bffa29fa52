"""What moto does not do, or does otherwise than AWS (moto 5.2), done here.

- Its time is the real one; S3 says of each new object that it was tagged, too: `patches`, which includes the faster
  transactions of `testbed.aws.transactions`.
- S3 takes an upload whose checksum is wrong, and into a locked bucket one that has none: `upload_fault`.
- SNS delivers nothing to Firehose and e-mail, cannot deliver to a dead subscriber without failing `publish`, and asks
  no queue's policy: `Deliveries`.

Not done: throttling and partial failures (a fault of `Endpoint`, or tests/support/kinesis.py), TTL and lifecycle (they
delete nothing), policies of buckets, topics and keys, alarms, resharding, access logs, X-Ray, Firehose's conversions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from unittest.mock import patch

from botocore.httpchecksum import _CHECKSUM_CLS  # type: ignore[attr-defined]
from moto.s3 import notifications
from moto.s3.models import FakeBucket, s3_backends
from moto.sns.models import Subscription

from testbed.aws.calls import Request
from testbed.aws.permissions import Need, Policy
from testbed.aws.template import ACCOUNT
from testbed.aws.transactions import fast_transactions

_CHECKSUM = "x-amz-checksum-"
_SAY = notifications._send_event_bridge_message


def patches(now: Callable[[], float]) -> Iterator[AbstractContextManager[Any]]:
    """Those of moto, whose time is to be `now`: visibility of messages, arrival of records, dates of objects."""
    for module in ("core.utils", "kinesis.models", "s3.models"):
        yield patch(f"moto.{module}.utcnow", lambda: datetime.fromtimestamp(now(), UTC).replace(tzinfo=None))
    yield patch("moto.s3.notifications._send_event_bridge_message", _say_created)
    yield fast_transactions()


def _say_created(account_id: str, bucket: FakeBucket, event_name: str, key: Any) -> None:
    if event_name.startswith("s3:ObjectCreated:"):
        _SAY(account_id, bucket, event_name, key)


def upload_fault(request: Request) -> str:
    """S3's error code if an upload's bytes are not those that its checksums are of; else nothing.

    A bucket with Object Lock wants one in any case.
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
    """What an address would have got from a topic."""

    address: str
    subject: str
    text: str


@dataclass
class Deliveries:
    """What SNS delivers, as `roles` by name allow, and the queue's policy, which `lets_in(service, need)` asks.

    `to_firehose(ARN, line)` takes a line. What could not be delivered is in `failures`; `publish` does not fail for it.
    """

    roles: Mapping[str, Policy]
    lets_in: Callable[[str, Need], bool]
    to_firehose: Callable[[str, bytes], None]
    mails: list[Mail] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def in_place_of_motos(self) -> Iterator[None]:
        """Deliver so while the `with` lasts."""
        motos = Subscription.publish

        def publish(subscription: Subscription, message: str, message_id: str, **about: Any) -> None:
            matcher = subscription._filter_policy_matcher
            try:
                if matcher is None or matcher.matches(about["message_attributes"], message):
                    self._deliver(motos, subscription, message, message_id, about)
            except Exception as error:  # noqa: BLE001  any failure is the subscriber's alone, and kept here
                self.failures.append(f"SNS to {subscription.endpoint}: {type(error).__name__}: {error}")

        with patch.object(Subscription, "publish", publish):
            yield

    def _deliver(self, motos: Any, to: Subscription, message: str, message_id: str, about: dict[str, Any]) -> None:
        if to.protocol == "sqs":
            if not self.lets_in("sns", Need("sqs:SendMessage", to.endpoint, {"aws:SourceArn": to.topic_arn})):
                raise PermissionError("the queue's policy does not allow it")
            motos(to, message, message_id, **about)
            return
        if about.get("message_structure") == "json":
            message = to._parse_message_structure(message, to.protocol)
        if to.protocol == "email":
            self.mails.append(Mail(to.endpoint, about.get("subject") or "", message))
            return
        role = self.roles[to.attributes["SubscriptionRoleArn"].rpartition("/")[2]]
        for action in ("firehose:PutRecord", "firehose:PutRecordBatch"):  # SNS uses either
            if not role.allows(Need(action, to.endpoint)):
                raise PermissionError(f"{role.owner} does not allow {action}")
        line = to.get_post_data(message, message_id, about.get("subject"), about["message_attributes"])
        self.to_firehose(to.endpoint, json.dumps(line).encode() + b"\n")
