"""The functions that find alerts: `evaluate` on the stream, `sweep` on the archive, `digest` each minute."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks import permissions as may
from stacks.alarms import Alarms
from stacks.archive import ArchiveStack
from stacks.functions import Shape, make_function, owner
from stacks.queues import Queue
from vaultwatch.aws import keys as prefixes
from vaultwatch.settings import Settings

INDEXES = {"due": ("due_kind", "due_at"), "unsent": ("unsent_sink", "unsent_order")}
RECORD_AGE_SECONDS = 86_400
_READS = "Keys are not known before; below this folder nothing but reading is allowed, neither writing nor deleting."
_WRITES = (
    "Keys are not known before; below this folder nothing but writing is allowed, and versions keep what was there."
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the functions stand in."""

    settings: Settings
    archive: ArchiveStack
    code: lambda_.Code
    alarms: Alarms
    key: kms.Key
    stream: kinesis.Stream
    table: dynamodb.Table
    topic: sns.Topic

    @property
    def variables(self) -> dict[str, str]:
        """What a function needs to know to store alerts and to publish them."""
        return {
            "ALERT_MEMORY_DAYS": str(self.settings.alert_memory_days),
            "TABLE_NAME": self.table.table_name,
            "TOPIC_ARN": self.topic.topic_arn,
        }

    @property
    def permissions(self) -> list[iam.PolicyStatement]:
        """What it may do for that."""
        return [may.keep_alerts(self.table), *may.publish(self.topic, self.key)]

    def function(
        self, scope: Construct, name: str, shape: Shape, variables: dict[str, str], *statements: iam.PolicyStatement
    ) -> lambda_.Function:
        """A function that stores and publishes alerts, and may do what `statements` say besides."""
        function = make_function(
            scope,
            name,
            code=self.code,
            settings=self.settings,
            shape=shape,
            environment={**self.variables, **variables},
            may=[*statements, *self.permissions],
        )
        self.alarms.watch_function(name, function)
        return function


def add_evaluate(scope: Construct, around: Surroundings) -> None:
    """Frames of the stream, as they come. X-Ray stays out: it would trace every batch of every log line."""
    bucket, key, stream = around.archive.alerts, around.archive.key, around.stream
    shape = Shape(
        description="Evaluates frames of the stream and publishes alerts",
        memory_mib=around.settings.evaluate_memory_mib,
        timeout_seconds=300,
        traced=False,
    )
    function = around.function(
        scope,
        "evaluate",
        shape,
        {"BUCKET_NAME": bucket.bucket_name, "TIMEZONE": around.settings.timezone},
        *may.read_stream(stream, around.key),
        may.read_objects("ReadOversize", bucket, prefixes.OVERSIZE),
        may.write_objects("Park", bucket, prefixes.PARKED),
        may.write_objects("KeepRejected", bucket, prefixes.REJECTED),
        may.write_objects("KeepDiscarded", bucket, prefixes.DISCARDED),
        may.allow("FindBucket", ["s3:ListBucket"], [bucket.bucket_arn]),
        may.decrypt_objects(key),
        may.encrypt_objects(key),
    )
    may.acknowledge_folders(owner(function), bucket, [prefixes.OVERSIZE], _READS)
    written = [prefixes.PARKED, prefixes.REJECTED, prefixes.DISCARDED]
    may.acknowledge_folders(owner(function), bucket, written, _WRITES)
    mapping = lambda_.CfnEventSourceMapping(
        scope,
        "EvaluateMapping",
        function_name=function.function_arn,
        event_source_arn=stream.stream_arn,
        starting_position="TRIM_HORIZON",
        batch_size=100,  # frames, each of which is a batch already: hence no window
        maximum_batching_window_in_seconds=0,
        parallelization_factor=1,
        bisect_batch_on_function_error=True,
        function_response_types=["ReportBatchItemFailures"],
        maximum_retry_attempts=-1,  # until the record's age ends
        maximum_record_age_in_seconds=RECORD_AGE_SECONDS,
        # A bucket gets the frames themselves, a queue only their sequence numbers.
        destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
            on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=bucket.bucket_arn)
        ),
        metrics_config=lambda_.CfnEventSourceMapping.MetricsConfigProperty(metrics=["EventCount"]),
    )
    around.alarms.watch_stream(stream, function, mapping)


def add_digest(scope: Construct, around: Surroundings) -> None:
    """Each minute: what quiet periods counted, and what is stored and not sent."""
    shape = Shape(
        description="Each minute: closes quiet periods, sends what is unsent",
        memory_mib=512,
        timeout_seconds=55,  # below the minute of its schedule: one runs at a time
    )
    function = around.function(scope, "digest", shape, {}, *may.tend_alerts(around.table, list(INDEXES)))
    rule = events.Rule(
        scope,
        "DigestSchedule",
        description="Starts digest each minute",
        schedule=events.Schedule.rate(Duration.minutes(1)),
    )
    # What one minute could not do, the next does again: neither EventBridge tries twice nor Lambda.
    function.configure_async_invoke(retry_attempts=0, max_event_age=Duration.minutes(1))
    rule.add_target(targets.LambdaFunction(function, retry_attempts=0, max_event_age=Duration.minutes(1)))
    around.alarms.watch_schedule(function)


def add_sweep(scope: Construct, around: Surroundings) -> None:
    """Every archived segment, and what evaluate parked or Lambda gave up, from a queue of S3's events."""
    archive = around.archive
    shape = Shape(
        description="Evaluates archived segments and parked frames again",
        memory_mib=around.settings.sweep_memory_mib,
        timeout_seconds=900,
    )
    waiting = Queue(scope, "SweepQueue", shape=shape, receives=20, alarms=around.alarms)  # 20 times 90 min: over a day
    buckets = {"ARCHIVE_BUCKET_NAME": archive.bucket.bucket_name, "BUCKET_NAME": archive.alerts.bucket_name}
    folders = [prefixes.PARKED, prefixes.DISCARDED, prefixes.OVERSIZE]
    function = around.function(
        scope,
        "sweep",
        shape,
        {**buckets, "TIMEZONE": around.settings.timezone},
        may.receive_messages(waiting.queue),
        may.read_objects("ReadSegments", archive.bucket, prefixes.ARCHIVE),
        may.read_objects("ReadParked", archive.alerts, *folders),
        may.allow("SeeThatItIsGone", ["s3:ListBucket"], [archive.alerts.bucket_arn]),
        may.decrypt_objects(archive.key),
    )
    may.acknowledge_folders(owner(function), archive.bucket, [prefixes.ARCHIVE], _READS)
    may.acknowledge_folders(owner(function), archive.alerts, folders, _READS)
    waiting.feed(function, batch_size=1, concurrency=around.settings.sweep_concurrency)
    rule = events.Rule(
        scope,
        "NewObjects",
        description="Archived segments and parked frames go to sweep",
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={
                "bucket": {"name": list(buckets.values())},
                "object": {"key": [{"prefix": p} for p in (prefixes.ARCHIVE, prefixes.PARKED, prefixes.DISCARDED)]},
            },
        ),
    )
    rule.add_target(targets.SqsQueue(waiting.queue, dead_letter_queue=waiting.dead_letters))
    around.alarms.watch_rule(rule)
