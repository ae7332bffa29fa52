"""What moto does not do, or does otherwise than AWS (moto 5.2), done here.

- S3 takes an upload whose checksum is wrong, and into a locked bucket one that has none: `upload_fault`.
- SNS delivers nothing to Firehose and e-mail, cannot deliver to a dead subscriber without failing `publish`, and asks
  no queue's policy: `Deliveries`.
- A DynamoDB transaction copies its tables once for each item in it: `fast_transactions`.

Not done: throttling and partial failures (a fault of `Endpoint`, or tests/support/kinesis.py), TTL and lifecycle (they
delete nothing), policies of buckets and keys, alarms, resharding, access logs, X-Ray, Firehose's conversions.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.sns.models import Subscription

from local_aws.calls import Request

_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
}
_PREFIX = "x-amz-checksum-"


def upload_fault(request: Request, locked: Container[str]) -> tuple[int, str, str] | None:
    """Status, code and text of S3's refusal if an upload's bytes are not those that its checksums are of.

    A bucket with Object Lock (`locked`) wants one in any case.
    """
    bucket, key = request.bucket_and_key
    if request.service != "s3" or request.method != "PUT" or not key or "x-amz-copy-source" in request.headers:
        return None
    data, trailer = _unchunked(request)
    given = {name: value for name, value in {**request.headers, **trailer}.items() if _is_checksum(name)}
    if unknown := set(given) - set(_DIGESTS):
        return 501, "NotImplemented", f"the local S3 cannot compute {min(unknown)}"
    wrong = [name for name, value in given.items() if base64.b64encode(_DIGESTS[name](data)).decode() != value]
    if not given and bucket in locked:
        return 400, "InvalidRequest", "Content-MD5 or a checksum is required for an upload with Object Lock."
    signed = request.headers.get("x-amz-content-sha256", "")
    if len(signed) == 64 and hashlib.sha256(data).hexdigest() != signed:
        return 400, "XAmzContentSHA256Mismatch", "The provided SHA-256 is not that of what was received."
    return (400, "BadDigest", f"{wrong[0]} is not that of what was received.") if wrong else None


def _is_checksum(name: str) -> bool:
    return name == "content-md5" or (name.startswith(_PREFIX) and name not in (f"{_PREFIX}type", f"{_PREFIX}mode"))


def _unchunked(request: Request) -> tuple[bytes, dict[str, str]]:
    """What was uploaded, and the trailer, of a body that may be `aws-chunked`: sizes in hex, data, a trailer."""
    if "aws-chunked" not in request.headers.get("content-encoding", ""):
        return request.body, {}
    data, rest = b"", request.body
    while (head := rest.partition(b"\r\n"))[0].split(b";")[0] != b"0":
        size = int(head[0].split(b";")[0], 16)
        data, rest = data + head[2][:size], head[2][size + 2 :]
    lines = [line.decode().partition(":") for line in head[2].split(b"\r\n") if line]
    return data, {name.strip().lower(): value.strip() for name, _, value in lines}


@dataclass(frozen=True)
class Mail:
    """What an address would have got from a topic."""

    address: str
    subject: str
    text: str


@dataclass
class Deliveries:
    """What SNS delivers: `queue_may(queue's ARN, topic's ARN)` asks the queue's policy, `to_firehose` takes a line.

    What could not be delivered is in `failures`; `publish` does not fail for it.
    """

    queue_may: Callable[[str, str], bool]
    to_firehose: Callable[[Mapping[str, Any], str, bytes], None]
    mails: list[Mail] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def in_place_of_motos(self) -> Iterator[None]:
        """Deliver so while the `with` lasts."""
        motos = Subscription.publish

        def publish(subscription: Subscription, message: str, message_id: str, **kwargs: Any) -> None:
            try:
                self._deliver(motos, subscription, message, message_id, kwargs)
            except Exception as error:  # noqa: BLE001  any failure is the subscriber's alone, and kept here
                self.failures.append(f"SNS to {subscription.endpoint}: {type(error).__name__}: {error}")

        with patch.object(Subscription, "publish", publish):
            yield

    def _deliver(self, motos: Any, subscription: Any, message: str, message_id: str, kwargs: dict[str, Any]) -> None:
        matcher = subscription._filter_policy_matcher
        if matcher is not None and not matcher.matches(kwargs["message_attributes"], message):
            return
        if subscription.protocol not in ("email", "firehose"):
            if subscription.protocol == "sqs" and not self.queue_may(subscription.endpoint, subscription.topic_arn):
                raise PermissionError("the queue's policy does not allow it")
            motos(subscription, message, message_id, **kwargs)
            return
        if kwargs.get("message_structure") == "json":
            message = subscription._parse_message_structure(message, subscription.protocol)
        if subscription.protocol == "email":
            self.mails.append(Mail(subscription.endpoint, kwargs.get("subject") or "", message))
        else:
            line = json.dumps(_notification(subscription.topic_arn, message, message_id, kwargs)).encode() + b"\n"
            self.to_firehose(subscription.attributes, subscription.endpoint, line)


def _notification(topic_arn: str, message: str, message_id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What SNS sends where delivery is not raw, without its signature."""
    attributes = kwargs.get("message_attributes") or {}
    return {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": topic_arn,
        **({"Subject": kwargs["subject"]} if kwargs.get("subject") else {}),
        "Message": message,
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "MessageAttributes": {name: {"Type": a["Type"], "Value": a["Value"]} for name, a in attributes.items()},
    }


@contextmanager
def fast_transactions() -> Iterator[None]:
    """While the `with` lasts, a transaction keeps copies of the items it touches only, and puts them back."""
    motos = DynamoDBBackend.transact_write_items

    def transact(backend: DynamoDBBackend, items: list[dict[str, Any]]) -> None:
        before = [(table, key, copy.deepcopy(_get(table, key))) for table, key in _touched(backend, items)]
        with patch.object(Table, "__deepcopy__", lambda table, memo: table, create=True):
            try:
                motos(backend, items)
            except BaseException:
                for table, key, item in before:
                    _put(table, key, item)
                raise

    with patch.object(DynamoDBBackend, "transact_write_items", transact):
        yield


def _touched(backend: DynamoDBBackend, items: list[dict[str, Any]]) -> Iterator[tuple[Table, tuple[Any, Any]]]:
    for item in items:
        for operation in item.values():
            table = backend.get_table(operation["TableName"])
            attributes = operation.get("Key") or operation["Item"]
            names = (table.hash_key_attr, table.range_key_attr)
            hash_key, range_key = (DynamoType(attributes[name]) if name else None for name in names)
            yield table, (hash_key, range_key)


def _get(table: Table, key: tuple[Any, Any]) -> Any:
    found: Any = table.items.get(key[0], {})
    return found.get(key[1]) if table.range_key_attr else found or None


def _put(table: Table, key: tuple[Any, Any], item: Any) -> None:
    place, last = (table.items[key[0]], key[1]) if table.range_key_attr else (table.items, key[0])
    if item is None:
        place.pop(last, None)
    else:
        place[last] = item
