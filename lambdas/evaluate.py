"""Frames of the stream, as they come, held against the rules.

What is wrong with content is parked, or kept as rejected, and never raised; what is wrong with the infrastructure is
raised, and the event source tries the batch again. Whatever was done before that is known by its id the second time.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache, partial
from typing import Any

import msgspec

from lambdas._environment import load_rules, make_client, read_environment
from lambdas._objects import Objects
from lambdas._telling import Teller, open_store
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.zones import find_zone

MAX_CLAIM_BYTES = 16 * 1024 * 1024  # larger ones are parked, and sweep, which has more memory, reads them


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
OBJECTS = Objects(cache(partial(make_client, "s3")), ENVIRONMENT.bucket_name, MAX_CLAIM_BYTES)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate one batch of a Kinesis event source."""
    evaluation = Evaluation(RULES, ZONE, claim=OBJECTS.claim, keep=OBJECTS.keep_rejected)
    teller = Teller(STORE, SNS, ENVIRONMENT.topic_arn, context)
    for alerts in evaluation.frames(map(_encoded_frame, event["Records"])):
        teller.tell(alerts)
    for unreadable in evaluation.findings.unreadable:
        OBJECTS.park(unreadable)
    teller.report()
    from lambdas import _metrics  # 30 ms at a cold start, which no alert has to wait for

    _metrics.report_findings(evaluation.findings)
    return {"batchItemFailures": []}


def _encoded_frame(record: dict[str, Any]) -> EncodedFrame:
    name, data = str(record["eventID"]).replace(":", "-"), record["kinesis"]["data"]
    try:
        return EncodedFrame(name, base64.b64decode(data))
    except binascii.Error:
        return EncodedFrame(name, str(data).encode())
