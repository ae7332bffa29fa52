"""Evaluates a second time: archived segments, and frames that `evaluate` parked or the event source mapping discarded.

Such frames are read from the stream again, never from the alerts bucket: a function that can write there could forge
lines. An alert that `evaluate` has raised is recognised by its id. A new one is marked late; if it is older than its
rule, or than the alerts that are remembered, it appears only in a summary. If a segment fails, its message stays in the
queue and the segment is evaluated again from its beginning.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache, partial
from typing import Any

import msgspec

from lambdas._environment import load_rules, read_environment, seconds_left
from vaultwatch.alerts import Alert
from vaultwatch.archive.segments import tag_of, unpack
from vaultwatch.aws import keys, metrics
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.alerts_first import PromptFetch
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.publishing import AlertPublisher, History, open_store
from vaultwatch.aws.stream import MAX_REPORT_BYTES, StreamReader, discarded_batch, parked_batch
from vaultwatch.batches import Evaluation
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.dispatch.groups import file_late
from vaultwatch.errors import BucketError
from vaultwatch.zones import find_zone

MAX_LINES_BYTES = 128 * 1024 * 1024


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    archive_bucket_name: str
    bucket_name: str
    history_stream_name: str
    stream_arn: str
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = Ruleset(load_rules())
ZONE = find_zone(ENVIRONMENT.timezone, "the environment variable TIMEZONE")
SNS, S3 = make_client("sns"), make_client("s3")
HISTORY_STREAM = History(cache(partial(make_client, "firehose")), ENVIRONMENT.history_stream_name)
STORE = partial(open_store, make_client("dynamodb"), ENVIRONMENT.table_name, ENVIRONMENT.alert_memory_days)
STREAM = StreamReader(cache(partial(make_client, "kinesis")), ENVIRONMENT.stream_arn)
BUCKET = AlertsBucket(lambda: S3, ENVIRONMENT.bucket_name, MAX_LINES_BYTES)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate the objects that the S3 events in these queue messages name."""
    for record in event["Records"]:
        detail = json.loads(record["body"])["detail"]
        _sweep(detail["bucket"]["name"], detail["object"]["key"], context)
    return {"batchItemFailures": []}


def _sweep(bucket: str, key: str, context: Any) -> None:
    # The archive has the rejected lines already.
    fetch = PromptFetch(BUCKET)
    evaluation = Evaluation(RULES, ZONE, claim=fetch)
    publisher = AlertPublisher(STORE, SNS, ENVIRONMENT.topic_arn, HISTORY_STREAM, seconds_left(context), ZONE)
    now, memory = time.time(), ENVIRONMENT.alert_memory_days * 86400.0
    live_since = cache(lambda: STORE().live_since({rule.name: rule.digest for rule in RULES.rules}, now))
    for alerts in _evaluate(evaluation, bucket, key):
        publisher.add(alerts, lambda alert: file_late(alert, now, live_since(), memory))
    publisher.write_metrics()
    if fetch.failure:
        raise BucketError(fetch.failure)
    metrics.write_findings(evaluation.findings)


def _evaluate(evaluation: Evaluation, bucket: str, key: str) -> Iterator[list[Alert]]:
    """Yield the alerts of an archived segment, or of frames that the stream still has."""
    if bucket == ENVIRONMENT.archive_bucket_name:
        yield from _evaluate_segment(evaluation, key)
    else:
        batch = parked_batch(key) if key.startswith(keys.PARKED) else discarded_batch(_report(key))
        yield from evaluation.frames(STREAM.frames(batch))


def _evaluate_segment(evaluation: Evaluation, key: str) -> Iterator[list[Alert]]:
    segment = keys.parse_segment(key)
    answer = S3.get_object(Bucket=ENVIRONMENT.archive_bucket_name, Key=key)
    begun = "" if segment.is_first else answer["LastModified"].isoformat()
    with closing(answer["Body"]) as body:
        yield from evaluation.segment(unpack(body.iter_chunks(1024 * 1024)), tag_of(segment), begun)


def _report(key: str) -> bytes:
    with closing(S3.get_object(Bucket=ENVIRONMENT.bucket_name, Key=key)["Body"]) as body:
        report: bytes = body.read(MAX_REPORT_BYTES)
        return report
