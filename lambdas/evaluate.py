"""Evaluates the frames of the stream as they arrive.

Bad content never raises, and never ends the function, which reads it in child processes: a frame that cannot be
evaluated is parked, a line that cannot be parsed is stored as rejected. Failures of the store raise, and the event
source mapping retries the batch; alerts that are already stored are recognised by their ids.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable
from contextlib import closing
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from lambdas._environment import (
    limits_of_children,
    load_rules,
    make_audience,
    read_environment,
    room_for_lines,
    seconds_left,
)
from vaultwatch.aws import metrics
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.alerts_first import PromptFetch, keep
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.counting import SharedCounting, open_counts
from vaultwatch.aws.first_seen import SharedFirsts, open_expectations, open_memory
from vaultwatch.aws.publishing import AlertPublisher, History, Topic, open_store
from vaultwatch.batches import EncodedFrame, Findings
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.isolated_batches import IsolatedEvaluation
from vaultwatch.seals import Seal, SecretKey

if TYPE_CHECKING:
    from vaultwatch.store.apart import FailedAlert


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    archive_bucket_name: str
    bucket_name: str
    history_stream_name: str
    mail_key: SecretKey
    row_seal_key: SecretKey
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = Ruleset(load_rules())
AUDIENCE = make_audience(ENVIRONMENT.timezone, ENVIRONMENT.archive_bucket_name)
SNS = make_client("sns")
HISTORY_STREAM = History(cache(partial(make_client, "firehose")), ENVIRONMENT.history_stream_name)
DYNAMODB = make_client("dynamodb")
SEAL = Seal(ENVIRONMENT.row_seal_key)
ALERTS_TOPIC = Topic(SNS, ENVIRONMENT.topic_arn, SEAL, ENVIRONMENT.mail_key)
TABLE = (DYNAMODB, ENVIRONMENT.table_name, SEAL)
STORE = partial(open_store, *TABLE, ENVIRONMENT.alert_memory_days)
COUNTING = SharedCounting(RULES.correlations, partial(open_counts, *TABLE))
MEMORY = partial(open_memory, *TABLE)
EXPECTATIONS = partial(open_expectations, *TABLE)
FIRSTS = SharedFirsts(RULES.rules, MEMORY, EXPECTATIONS, ENVIRONMENT.alert_memory_days)
BUCKET = AlertsBucket(cache(partial(make_client, "s3")), ENVIRONMENT.bucket_name)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate one batch of a Kinesis event source.

    Alerts come first: what is kept for later is stored once all of them are stored and published.
    """
    findings, failed = _publish_alerts(map(_encoded_frame, event["Records"]), context)
    age_seconds = time.time() - min(record["kinesis"]["approximateArrivalTimestamp"] for record in event["Records"])
    unkept = keep(BUCKET, findings, failed, age_seconds=age_seconds, seconds_left=seconds_left(context))
    metrics.write_findings(findings)
    metrics.write({metrics.UNKEPT_OBJECTS: unkept})
    return {"batchItemFailures": []}


def _publish_alerts(frames: Iterable[EncodedFrame], context: Any) -> tuple[Findings, list[FailedAlert]]:
    limits, patience = limits_of_children(context)
    fetch = PromptFetch(BUCKET, room_for_lines(context))
    evaluation = IsolatedEvaluation(RULES, AUDIENCE.zone, claim=fetch, limits=limits, patience=patience)
    publisher = AlertPublisher(STORE, ALERTS_TOPIC, HISTORY_STREAM, seconds_left(context), AUDIENCE)
    try:
        with closing(evaluation.frames(frames)) as found:
            for alerts in found:
                publisher.add(alerts)
        for shared in (COUNTING, FIRSTS):
            with closing(shared.take(evaluation.findings, seconds_left(context))) as counted:
                for alerts in counted:
                    publisher.add(alerts)
    finally:
        publisher.write_metrics()
    return evaluation.findings, publisher.failed


def _encoded_frame(record: dict[str, Any]) -> EncodedFrame:
    name, data = str(record["eventID"]).replace(":", "-"), record["kinesis"]["data"]
    try:
        return EncodedFrame(name, base64.b64decode(data))
    except binascii.Error:
        return EncodedFrame(name, str(data).encode())
