"""The sweep: the function `sweep`, which evaluates archived segments and parked frames again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alarms import Alarms
from stacks.constructs.alerts import Alerts
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.queue import Queue
from vaultwatch.aws import keys

_READ = (keys.DISCARDED, keys.OVERSIZE)
_WRITTEN = (keys.EXCLUDED, keys.FAILED)
_PARKED = (keys.PARKED, keys.DISCARDED)
_MAX_RECEIVES = 20
"""Of 90 minutes: more than a day."""


class Sweep(Construct):
    """The function `sweep`, its queues, and the rules that forward S3's events to them.

    Segments have a queue, and so have parked frames: a backlog of segments, of which any host can make one, delays no
    parked frame.

    Args:
        scope: The construct that holds the sweep.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        alerts: Where alerts are stored and published.
        archive: The bucket of archived segments.
        parked: The bucket of parked and discarded frames, which name what to read from the stream again.
        key: The key that encrypts both buckets.
        stream: The stream of frames.
        stream_key: The key that encrypts the frames.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        alerts: Alerts,
        archive: s3.Bucket,
        parked: s3.Bucket,
        key: kms.IKey,
        stream: kinesis.Stream,
        stream_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        settings = defaults.settings
        size = FunctionSize(memory_mib=settings.sweep_memory_mib, timeout_seconds=900)
        common: dict[str, Any] = {"size": size, "max_receives": _MAX_RECEIVES, "alarms": defaults.alarms}
        segments = Queue(self, "Queue", consumer="sweep", **common)
        parked_frames = Queue(self, "ParkedQueue", consumer="sweep", name="parked", **common)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="sweep",
            description="Evaluates archived segments and parked frames again",
            size=size,
            environment={
                **alerts.environment,
                "BUCKET_NAME": parked.bucket_name,
                "STREAM_ARN": stream.stream_arn,
            },
            statements=[
                permissions.receive_messages(segments.waiting, parked_frames.waiting),
                *permissions.read_again(stream, stream_key),
                *_bucket_statements(archive, parked, key),
                *alerts.storing,
                row_permissions.remember_live_rules(alerts.table),
            ],
            effect="SQS redelivers the segments; alerts from the stream are not affected.",
        )
        permissions.acknowledge_reads(function, archive, [keys.ARCHIVE])
        permissions.acknowledge_writes(function, archive, [keys.SEEN])
        permissions.acknowledge_reads(function, parked, _READ)
        permissions.acknowledge_writes(function, parked, _WRITTEN)
        for queue in (segments, parked_frames):
            queue.feed(function.resource, batch_size=1, max_concurrency=settings.sweep_concurrency)
        self._forward(segments, "NewObjects", archive, [keys.ARCHIVE], defaults.alarms)
        self._forward(parked_frames, "NewParked", parked, _PARKED, defaults.alarms)

    def _forward(
        self, queue: Queue, construct_id: str, bucket: s3.Bucket, prefixes: Sequence[str], alarms: Alarms
    ) -> None:
        """Send the events of new objects with these prefixes to a queue."""
        rule = events.Rule(
            self,
            construct_id,
            description=f"Sends the events of new {' and '.join(prefixes)} to a queue of the function sweep",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [bucket.bucket_name]},
                    "object": {"key": [{"prefix": prefix} for prefix in prefixes]},
                },
            ),
        )
        rule.add_target(targets.SqsQueue(queue.waiting, dead_letter_queue=queue.dead_letters))
        alarms.watch_rule(queue.name, rule)


def _bucket_statements(archive: s3.Bucket, parked: s3.Bucket, key: kms.IKey) -> list[iam.PolicyStatement]:
    return [
        permissions.read_objects("ReadSegments", archive, keys.ARCHIVE),
        permissions.read_objects("ReadOversize", parked, keys.OVERSIZE),
        permissions.read_versions("ReadDiscarded", parked, keys.DISCARDED),
        permissions.allow("SeeMissingObjects", ["s3:ListBucket"], [parked.bucket_arn]),
        permissions.write_objects("WriteSeen", archive, keys.SEEN),
        permissions.write_objects("WriteExcluded", parked, keys.EXCLUDED),
        permissions.write_objects("WriteFailed", parked, keys.FAILED),
        permissions.decrypt_objects(key),
        permissions.encrypt_objects(key),
    ]
