"""Alarms on calls of AWS's API that hardly anybody should ever make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from stacks.constructs.alarms import MINUTE, Alarms
from stacks.constructs.permissions import acknowledge
from stacks.constructs.queue import encrypted_queue


def watch_calls(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    source: str,
    calls: Sequence[str],
    resource: Mapping[str, Any],
    text: str,
    alarms: Alarms,
) -> None:
    """Alarm on calls that CloudTrail records.

    EventBridge puts each into a queue, which keeps it for 14 days: the alarm is on until somebody has read and deleted
    it. EventBridge gets the calls only in an account that has a trail.

    Args:
        scope: The construct that holds rule and queue.
        construct_id: Their id within `scope`.
        name: The name of the alarm, without the deployment's.
        source: The service: "kms".
        calls: The names of the calls.
        resource: The part of the event's detail that selects the resource.
        text: What the calls mean and what to do.
        alarms: Where the alarm is added.
    """
    inside = Construct(scope, construct_id)
    queue = encrypted_queue(inside, "Calls")
    acknowledge(
        queue, "SQS3", "Nothing receives from this queue, so that no message of it can fail; a person reads it."
    )
    pattern = events.EventPattern(
        source=[f"aws.{source}"],
        detail_type=["AWS API Call via CloudTrail"],
        detail={"eventSource": [f"{source}.amazonaws.com"], "eventName": list(calls), **resource},
    )
    rule = events.Rule(inside, "Rule", event_pattern=pattern, targets=[targets.SqsQueue(queue)])
    # Otherwise EventBridge gets no calls that only read.
    cast(events.CfnRule, rule.node.default_child).state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    alarms.add(
        name,
        queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE),
        f"{text} The queue {queue.queue_name} has who did it, and when; the alarm ends when you delete the message.",
    )
