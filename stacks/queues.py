"""A queue before a function: what waits, what was given up, and the alarms of both."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.alarms import Alarms
from stacks.functions import Shape


class Queue(Construct):
    """A queue for a function of this shape. What was received `receives` times in vain goes to `dead_letters`."""

    def __init__(self, scope: Construct, construct_id: str, *, shape: Shape, receives: int, alarms: Alarms) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = self._queue("DeadLetters")
        self.queue = self._queue(
            "Waiting",
            visibility_timeout=Duration.seconds(6 * shape.timeout_seconds),  # the Lambda guide's factor
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=receives),
        )
        alarms.watch_queue(construct_id, self.queue, self.dead_letters)

    def feed(self, function: lambda_.Function, *, batch_size: int, concurrency: int) -> None:
        """Let Lambda poll the queue for the function.

        The number running at a time is bounded here, not by reserving: an account starts with ten concurrent
        executions, all of which must stay unreserved.
        """
        lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=function.function_arn,
            event_source_arn=self.queue.queue_arn,
            batch_size=batch_size,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(maximum_concurrency=concurrency),
        )

    def _queue(self, construct_id: str, **kwargs: Any) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            retention_period=Duration.days(14),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.DESTROY,
            **kwargs,
        )
