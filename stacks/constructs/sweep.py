"""The sweep: the function `sweep`, which evaluates archived segments and parked frames again."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alerts import Alerts
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.queue import Queue
from vaultwatch.aws import keys

_READ = (keys.DISCARDED, keys.OVERSIZE)
_WRITTEN = (keys.EXCLUDED, keys.FAILED)
_SWEPT = (keys.ARCHIVE, keys.PARKED, keys.DISCARDED)


class Sweep(Construct):
    """The function `sweep`, its queue, and the rule that forwards S3's events to the queue.

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
        # 20 receives of 90 minutes: more than a day.
        queue = Queue(self, "Queue", consumer="sweep", size=size, max_receives=20, alarms=defaults.alarms)
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
                permissions.receive_messages(queue.waiting),
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
        queue.feed(function.resource, batch_size=1, max_concurrency=settings.sweep_concurrency)
        rule = self._new_objects([archive, parked])
        rule.add_target(targets.SqsQueue(queue.waiting, dead_letter_queue=queue.dead_letters))
        defaults.alarms.watch_rule(rule)

    def _new_objects(self, buckets: list[s3.Bucket]) -> events.Rule:
        return events.Rule(
            self,
            "NewObjects",
            description="Sends the events of new segments and parked frames to the queue of the function sweep",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [bucket.bucket_name for bucket in buckets]},
                    "object": {"key": [{"prefix": prefix} for prefix in _SWEPT]},
                },
            ),
        )


def _bucket_statements(archive: s3.Bucket, parked: s3.Bucket, key: kms.IKey) -> list[iam.PolicyStatement]:
    return [
        permissions.read_objects("ReadSegments", archive, keys.ARCHIVE),
        permissions.read_objects("ReadDiscarded", parked, *_READ),
        permissions.allow("SeeMissingObjects", ["s3:ListBucket"], [parked.bucket_arn]),
        permissions.write_objects("WriteSeen", archive, keys.SEEN),
        permissions.write_objects("WriteExcluded", parked, keys.EXCLUDED),
        permissions.write_objects("WriteFailed", parked, keys.FAILED),
        permissions.decrypt_objects(key),
        permissions.encrypt_objects(key),
    ]
