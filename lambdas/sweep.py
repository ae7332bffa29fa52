"""Evaluates a second time: archived segments, and frames that `evaluate` parked or the event source mapping discarded.

An alert that `evaluate` has raised is recognised by its id. A new one is marked late; if it is older than its rule, or
than the alerts that are remembered, it appears only in a summary. If a segment fails, its message stays in the queue
and the segment is evaluated again from its beginning.
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

from lambdas._environment import load_rules, read_environment, seconds_left
from vaultwatch.alerts import Alert
from vaultwatch.archive.segments import tag_of, unpack
from vaultwatch.aws import keys, metrics
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.publishing import AlertPublisher, open_store
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.dispatch.groups import file_late
from vaultwatch.zones import find_zone

MAX_LINES_BYTES = 128 * 1024 * 1024


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
BUCKET = AlertsBucket(lambda: S3, ENVIRONMENT.bucket_name, MAX_LINES_BYTES)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate the objects that the S3 events in these queue messages name."""
    for record in event["Records"]:
        detail = json.loads(record["body"])["detail"]
        _sweep(detail["bucket"]["name"], detail["object"]["key"], context)
    return {"batchItemFailures": []}


def _sweep(bucket: str, key: str, context: Any) -> None:
    # The archive has the rejected lines already.
    evaluation = Evaluation(RULES, ZONE, claim=BUCKET.fetch_lines)
    publisher = AlertPublisher(STORE, SNS, ENVIRONMENT.topic_arn, seconds_left(context), ZONE)
    now, memory = time.time(), ENVIRONMENT.alert_memory_days * 86400.0
    live_since = cache(lambda: STORE().live_since({rule.name: rule.digest for rule in RULES.rules}, now))
    for alerts in _evaluate(evaluation, bucket, key):
        publisher.add(alerts, lambda alert: file_late(alert, now, live_since(), memory))
    publisher.write_metrics()
    metrics.write_findings(evaluation.findings)


def _evaluate(evaluation: Evaluation, bucket: str, key: str) -> Iterator[list[Alert]]:
    """Yield the alerts of an object: a segment, a parked frame, or a batch that the event source mapping discarded."""
    archived = bucket == ENVIRONMENT.archive_bucket_name and key.startswith(keys.ARCHIVE)
    segment = keys.parse_segment(key) if archived else None
    answer = S3.get_object(Bucket=bucket, Key=key)
    body = answer["Body"]
    with closing(body):
        if segment:
            begun = "" if segment.is_first else answer["LastModified"].isoformat()
            yield from evaluation.segment(unpack(body.iter_chunks(1024 * 1024)), tag_of(segment), begun)
        elif key.startswith((keys.PARKED, keys.DISCARDED)):
            yield from evaluation.frames(_encoded_frames(key, body.read()))


def _encoded_frames(key: str, content: bytes) -> Iterable[EncodedFrame]:
    if key.startswith(keys.PARKED):
        return [EncodedFrame(key, content)]
    records = json.loads(json.loads(content)["payload"])["Records"]
    return [EncodedFrame(record["eventID"], base64.b64decode(record["kinesis"]["data"])) for record in records]
