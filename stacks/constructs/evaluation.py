"""Evaluation of the stream: the function `evaluate`, which turns frames into alerts within seconds."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alerts import Alerts
from stacks.constructs.frame_stream import FrameStream
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.stream_alarms import watch_stream
from vaultwatch.aws import keys

RECORD_AGE_SECONDS = 86_400
_WRITTEN = (keys.PARKED, keys.REJECTED, keys.DISCARDED)


class Evaluation(Construct):
    """The function `evaluate` and its event source mapping.

    X-Ray does not trace it: there would be a trace for every batch of log lines.

    Args:
        scope: The construct that holds the evaluation.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        alerts: Where alerts are stored and published.
        stream: The stream of frames.
        stream_key: The key that encrypts the frames.
        bucket: The bucket of oversize lines, parked frames and rejected lines.
        bucket_key: The key that encrypts that bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        alerts: Alerts,
        stream: FrameStream,
        stream_key: kms.IKey,
        bucket: s3.Bucket,
        bucket_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="evaluate",
            description="Evaluates the frames of the stream and publishes alerts",
            # The first frame that hangs takes 5 s, further ones less, and the evaluation of a batch at most half of it.
            size=FunctionSize(memory_mib=defaults.settings.evaluate_memory_mib, timeout_seconds=120),
            environment={**alerts.environment, "BUCKET_NAME": bucket.bucket_name},
            statements=[
                *permissions.read_stream(stream, stream_key),
                *_bucket_statements(bucket, bucket_key),
                *alerts.storing,
                row_permissions.read_live_rules(alerts.table),
            ],
            effect="Lambda retries the frames; until it succeeds, alerts are late.",
            traced=False,
        )
        permissions.acknowledge_reads(function, bucket, [keys.OVERSIZE])
        permissions.acknowledge_writes(function, bucket, _WRITTEN)
        mapping = self._mapping(function.resource, stream, bucket)
        watch_stream(defaults.alarms, stream=stream, function=function.resource, mapping=mapping)

    def _mapping(
        self, function: lambda_.Function, stream: FrameStream, bucket: s3.Bucket
    ) -> lambda_.CfnEventSourceMapping:
        mapping = lambda_.CfnEventSourceMapping
        return mapping(
            self,
            "Mapping",
            function_name=function.function_arn,
            event_source_arn=stream.stream_arn,
            starting_position="TRIM_HORIZON",
            batch_size=100,  # frames, each of which is a batch already: hence no batching window
            maximum_batching_window_in_seconds=0,
            parallelization_factor=1,
            bisect_batch_on_function_error=True,
            function_response_types=["ReportBatchItemFailures"],
            maximum_retry_attempts=-1,  # until the record's age ends
            maximum_record_age_in_seconds=RECORD_AGE_SECONDS,
            # A bucket gets the frames themselves, a queue only their sequence numbers.
            destination_config=mapping.DestinationConfigProperty(
                on_failure=mapping.OnFailureProperty(destination=bucket.bucket_arn)
            ),
            metrics_config=mapping.MetricsConfigProperty(metrics=["EventCount"]),
        )


def _bucket_statements(bucket: s3.Bucket, key: kms.IKey) -> list[iam.PolicyStatement]:
    return [
        permissions.read_objects("ReadOversize", bucket, keys.OVERSIZE),
        permissions.write_objects("WriteParked", bucket, keys.PARKED),
        permissions.write_objects("WriteRejected", bucket, keys.REJECTED),
        permissions.write_objects("WriteDiscarded", bucket, keys.DISCARDED),
        permissions.allow("FindBucket", ["s3:ListBucket"], [bucket.bucket_arn]),
        permissions.decrypt_objects(key),
        permissions.encrypt_objects(key),
    ]
