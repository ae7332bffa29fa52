"""The alarms on the stream of frames: silence, delays and discards."""

from __future__ import annotations

from typing import get_args

from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_

from stacks.constructs.alarms import FIVE_MINUTES, MINUTE, Alarms, metric_of
from vaultwatch.aws import keys, metrics
from vaultwatch.rules.facts import Service


def watch_stream(
    alarms: Alarms, *, stream: kinesis.Stream, function: lambda_.Function, mapping: lambda_.CfnEventSourceMapping
) -> None:
    """Alarm when no frames arrive, when they wait on the stream or are throttled, and when they are discarded.

    Args:
        alarms: Where the alarms are added.
        stream: The stream of frames.
        function: The function that evaluates them.
        mapping: The event source mapping between the two.
    """
    _watch_silence(alarms, function)
    alarms.watch_mapping("evaluate", "evaluate", mapping)
    _watch_delays(alarms, stream, function)
    _watch_discards(alarms, function, mapping)


def _watch_silence(alarms: Alarms, function: lambda_.Function) -> None:
    """Alarm when nothing arrives, even before the first log server sends: until then, nobody is alerted of anything."""
    expected = "As long as no log server sends to this deployment, this alarm is expected."
    for source in get_args(Service):
        alarms.add(
            f"{source}-heartbeats-missing",
            alarms.own_metric(metrics.HEARTBEATS, "evaluate", source=source),
            f"For five minutes the function evaluate has received no heartbeat of the handler of the {source} log, "
            f"which sends one every minute. The {source} log is not evaluated. {expected} Otherwise check the alarms "
            "of the function evaluate first, then syslog-ng and the log of `vaultwatch ship` on the log server.",
            silence_is_failure=True,
        )
    alarms.add(
        "evaluate-stopped",
        function.metric_invocations(period=FIVE_MINUTES),
        "The function evaluate has not run for five minutes, although a log server sends heartbeats every minute. No "
        f"line is evaluated. {expected} Otherwise check that its event source mapping is enabled and that the log "
        "server reaches the stream.",
        silence_is_failure=True,
    )


def _watch_delays(alarms: Alarms, stream: kinesis.Stream, function: lambda_.Function) -> None:
    alarms.add(
        "frames-delayed",
        function.metric("IteratorAge", statistic="Maximum", period=MINUTE),
        "Log lines wait more than a minute on the stream before they are evaluated, so alerts are late. Check the "
        "errors and the duration of the function evaluate first; if it is healthy, raise stream_shards.",
        threshold=60_000,
        periods=5,
        datapoints=3,
    )
    alarms.add(
        "stream-full",
        stream.metric_write_provisioned_throughput_exceeded(statistic="Sum", period=FIVE_MINUTES),
        "The stream throttles the log server, which buffers the lines on its disk and retries. Alerts are late "
        "and nothing is lost yet. Raise stream_shards.",
    )


def _watch_discards(alarms: Alarms, function: lambda_.Function, mapping: lambda_.CfnEventSourceMapping) -> None:
    alarms.add(
        "frames-discarded",
        metric_of("AWS/Lambda", "OnFailureDestinationDeliveredEventCount", {"EventSourceMappingUUID": mapping.ref}),
        "The function evaluate failed on some frames until Lambda discarded them. They are in the alerts bucket "
        f"below {keys.DISCARDED}, and the function sweep reads them again from the stream. Look for the error in the "
        "log group of the function evaluate.",
    )
    alarms.add(
        "frames-lost",
        function.metric("DestinationDeliveryFailures", statistic="Sum", period=FIVE_MINUTES),
        "Lambda discarded frames and could not write them to the alerts bucket, so nothing evaluates them from the "
        "stream. The archive holds the same lines, and the function sweep evaluates them from there. Check the "
        "permissions of the role of the function evaluate on the alerts bucket.",
    )
