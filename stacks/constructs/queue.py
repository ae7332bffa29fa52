"""A queue in front of a function, with its dead-letter queue and the alarms of both."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.constructs.alarms import Alarms
from stacks.constructs.function import FunctionSize


class Queue(Construct):
    """An SQS queue for one function.

    Args:
        scope: The construct that holds the queue.
        construct_id: The id within `scope`.
        consumer: The name of the function that empties it.
        size: The size of that function, whose timeout decides how long a message stays invisible.
        max_receives: After how many failed receives SQS moves a message to the dead-letter queue.
        alarms: Where the alarms of the queue are added.
        name: With which the names of its alarms begin, if not with that of the function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        consumer: str,
        size: FunctionSize,
        max_receives: int,
        alarms: Alarms,
        name: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name or consumer
        self.dead_letters = encrypted_queue(self, "DeadLetters")
        self.waiting = encrypted_queue(
            self,
            "Waiting",
            visibility_timeout=Duration.seconds(6 * size.timeout_seconds),  # the factor in the Lambda guide
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=max_receives),
        )
        self._consumer = consumer
        self._alarms = alarms
        alarms.watch_queue(self.name, consumer, waiting=self.waiting, dead_letters=self.dead_letters)

    def feed(self, function: lambda_.Function, *, batch_size: int, max_concurrency: int) -> None:
        """Let Lambda poll the queue for the function, and alarm when it stops.

        Concurrency is limited here and not by reserving it: a new account has ten concurrent executions, all of which
        must stay unreserved.

        Args:
            function: The function that gets the messages.
            batch_size: How many messages it gets at once, at most.
            max_concurrency: How many instances of it run at once, at most.
        """
        mapping = lambda_.CfnEventSourceMapping
        resource = mapping(
            self,
            "Mapping",
            function_name=function.function_arn,
            event_source_arn=self.waiting.queue_arn,
            batch_size=batch_size,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=mapping.ScalingConfigProperty(maximum_concurrency=max_concurrency),
            metrics_config=mapping.MetricsConfigProperty(metrics=["EventCount"]),
        )
        self._alarms.watch_mapping(self.name, self._consumer, resource)


def encrypted_queue(scope: Construct, construct_id: str, **kwargs: Any) -> sqs.Queue:
    """Make a queue that keeps messages for 14 days, the longest that SQS offers.

    Args:
        scope: The construct that holds the queue.
        construct_id: The id within `scope`.
        kwargs: Further arguments of `sqs.Queue`.

    Returns:
        The queue.
    """
    return sqs.Queue(
        scope,
        construct_id,
        retention_period=Duration.days(14),
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        removal_policy=RemovalPolicy.DESTROY,
        **kwargs,
    )
