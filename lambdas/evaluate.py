"""Evaluates the frames of the stream as they arrive.

Bad content never raises: a frame that cannot be read is parked, a line that cannot be parsed is stored as rejected.
Failures of the infrastructure raise, and the event source mapping retries the batch; alerts that are already stored are
recognised by their ids.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache, partial
from typing import Any

import msgspec

from lambdas._environment import load_rules, read_environment, seconds_left
from vaultwatch.aws import metrics
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.publishing import AlertPublisher, open_store
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.zones import find_zone

MAX_LINES_BYTES = 16 * 1024 * 1024  # frames that refer to more are parked, and sweep, which has more memory, reads them


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    bucket_name: str
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = Ruleset(load_rules())
ZONE = find_zone(ENVIRONMENT.timezone, "the environment variable TIMEZONE")
SNS = make_client("sns")
STORE = partial(open_store, make_client("dynamodb"), ENVIRONMENT.table_name, ENVIRONMENT.alert_memory_days)
BUCKET = AlertsBucket(cache(partial(make_client, "s3")), ENVIRONMENT.bucket_name, MAX_LINES_BYTES)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate one batch of a Kinesis event source."""
    evaluation = Evaluation(RULES, ZONE, claim=BUCKET.fetch_lines, keep=BUCKET.keep_rejected)
    publisher = AlertPublisher(STORE, SNS, ENVIRONMENT.topic_arn, seconds_left(context), ZONE)
    for alerts in evaluation.frames(map(_encoded_frame, event["Records"])):
        publisher.add(alerts)
    for unreadable in evaluation.findings.unreadable:
        BUCKET.park(unreadable)
    publisher.write_metrics()
    metrics.write_findings(evaluation.findings)
    return {"batchItemFailures": []}


def _encoded_frame(record: dict[str, Any]) -> EncodedFrame:
    name, data = str(record["eventID"]).replace(":", "-"), record["kinesis"]["data"]
    try:
        return EncodedFrame(name, base64.b64decode(data))
    except binascii.Error:
        return EncodedFrame(name, str(data).encode())
