"""Archived segments, and frames that evaluate parked or Lambda gave up, held against the rules again.

What evaluate had found is known by its id. What is new goes out marked late; what is older than its rule or than our
memory is only summed up. A segment is done whole, or again: an error leaves its message in the queue.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache, partial
from typing import Any

import msgspec

from lambdas import _metrics
from lambdas._environment import load_rules, make_client, read_environment
from lambdas._objects import Objects
from lambdas._telling import Teller, open_store
from vaultwatch.alerts import Alert
from vaultwatch.archive.segments import is_first, tag_of, unpack
from vaultwatch.aws import keys as prefixes
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.dispatch.groups import file_late
from vaultwatch.zones import find_zone

MAX_CLAIM_BYTES = 128 * 1024 * 1024


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    archive_bucket_name: str
    bucket_name: str
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = Ruleset(load_rules())
ZONE = find_zone(ENVIRONMENT.timezone, "the environment variable TIMEZONE")
SNS, S3 = make_client("sns"), make_client("s3")
STORE = partial(open_store, make_client("dynamodb"), ENVIRONMENT.table_name, ENVIRONMENT.alert_memory_days)
OBJECTS = Objects(cache(lambda: S3), ENVIRONMENT.bucket_name, MAX_CLAIM_BYTES)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sweep the objects that S3's events in these queue messages name."""
    for record in event["Records"]:
        detail = json.loads(record["body"])["detail"]
        _sweep(detail["bucket"]["name"], detail["object"]["key"], context)
    return {"batchItemFailures": []}


def _sweep(bucket: str, key: str, context: Any) -> None:
    evaluation = Evaluation(RULES, ZONE, claim=OBJECTS.claim, keep=lambda name, rejected: None)  # the archive has them
    teller = Teller(STORE, SNS, ENVIRONMENT.topic_arn, context)
    now, memory = time.time(), ENVIRONMENT.alert_memory_days * 86400.0
    live_since = cache(lambda: STORE().live_since({rule.name: rule.digest for rule in RULES.rules}, now))
    for alerts in _read(evaluation, bucket, key):
        teller.tell(alerts, lambda alert: file_late(alert, now, live_since(), memory))
    teller.report()
    _metrics.report_findings(evaluation.findings)


def _read(evaluation: Evaluation, bucket: str, key: str) -> Iterator[list[Alert]]:
    """The alerts of an object, which is a segment, a parked frame, or a batch that Lambda gave up."""
    segment = bucket == ENVIRONMENT.archive_bucket_name and key.startswith(prefixes.ARCHIVE)
    tag = tag_of(key) if segment else b""
    answer = S3.get_object(Bucket=bucket, Key=key)
    body = answer["Body"]
    with closing(body):
        if segment:
            begun = "" if is_first(key) else answer["LastModified"].isoformat()
            yield from evaluation.segment(key, unpack(body.iter_chunks(1024 * 1024)), tag, begun)
        elif key.startswith((prefixes.PARKED, prefixes.DISCARDED)):
            yield from evaluation.frames(_encoded_frames(key, body.read()))


def _encoded_frames(key: str, content: bytes) -> Iterable[EncodedFrame]:
    if key.startswith(prefixes.PARKED):
        return [EncodedFrame(key, content)]
    records = json.loads(json.loads(content)["payload"])["Records"]
    return [EncodedFrame(record["eventID"], base64.b64decode(record["kinesis"]["data"])) for record in records]
