"""What calls people when Vaultwatch itself is in trouble. Each alarm says what is wrong and where to look first."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_MINUTE = Duration.minutes(1)
_FIVE_MINUTES = Duration.minutes(5)


class Alarms(Construct):
    """The alarms of one stack; all of them, and their all-clears, go to one topic."""

    def __init__(self, scope: Construct, construct_id: str, *, topic: sns.ITopic) -> None:
        super().__init__(scope, construct_id)
        self._action = actions.SnsAction(topic)

    def watch_function(self, name: str, function: lambda_.Function) -> None:
        """It fails, or AWS does not let it start."""
        said = f"{name} fails: see its log. What it could not do is tried again."
        self._add(f"{name.capitalize()}Errors", function.metric_errors(period=_FIVE_MINUTES), said)
        said = f"{name} is not let start: the account's concurrent executions are used up."
        self._add(f"{name.capitalize()}Throttles", function.metric_throttles(period=_FIVE_MINUTES), said)

    def watch_stream(
        self, stream: kinesis.Stream, function: lambda_.Function, mapping: lambda_.CfnEventSourceMapping
    ) -> None:
        """Frames wait, are refused, or were given up."""
        self._add(
            "EvaluateLag",
            function.metric("IteratorAge", statistic="Maximum", period=_MINUTE),
            "Frames wait longer than a minute: alerts are late. See evaluate's errors and duration, then add shards.",
            threshold=60_000,
            of=5,
            at_least=3,
        )
        refused = stream.metric_write_provisioned_throughput_exceeded(statistic="Sum", period=_FIVE_MINUTES)
        self._add("StreamFull", refused, "The stream refuses frames: the log server keeps them. Add shards.")
        given_up = cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name="OnFailureDestinationDeliveredEventCount",
            dimensions_map={"EventSourceMappingUUID": mapping.ref},
            statistic="Sum",
            period=_FIVE_MINUTES,
        )
        said = "Frames were not evaluated for a day and are parked in the alerts bucket, below aws/lambda/."
        self._add("FramesGivenUp", given_up, said)
        lost = function.metric("DestinationDeliveryFailures", statistic="Sum", period=_FIVE_MINUTES)
        self._add(
            "FramesNotParked", lost, "Frames were given up and could not be parked: sweep the archive of the day."
        )

    def watch_schedule(self, function: lambda_.Function) -> None:
        """Nothing starts it any more, so that summaries and unsent alerts wait."""
        self._add(
            "DigestSilent",
            function.metric_invocations(period=_FIVE_MINUTES),
            "digest has not run for five minutes: summaries and unsent alerts wait. See its schedule.",
            below=True,
        )

    def watch_queue(self, name: str, queue: sqs.Queue, dead: sqs.Queue) -> None:
        """What it holds grows old, or was given up."""
        given_up = dead.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_MINUTE)
        # SQS counts on from when a message came first, also in the dead-letter queue.
        said = f"{name}: messages were given up. Its dead-letter queue has them until 14 days after they came."
        self._add(f"{name}GivenUp", given_up, said)
        self._add(
            f"{name}Lag",
            queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_FIVE_MINUTES),
            f"{name}: messages wait longer than half an hour. See the function's errors.",
            threshold=1800,
        )

    def watch_rule(self, rule: events.Rule) -> None:
        """Events of new objects do not reach the queue."""
        failed = cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="FailedInvocations",
            dimensions_map={"RuleName": rule.rule_name},
            statistic="Sum",
            period=_FIVE_MINUTES,
        )
        self._add("ObjectsUnseen", failed, "Events of new objects do not reach sweep's queue: see the queue's policy.")

    def watch_delivery(self, topic: sns.Topic, delivery: firehose.CfnDeliveryStream) -> None:
        """SNS or Firehose cannot deliver."""
        failed = topic.metric_number_of_notifications_failed(statistic="Sum", period=_FIVE_MINUTES)
        self._add(
            "AlertsUndelivered", failed, "SNS cannot deliver alerts to a subscriber: see the topic's subscriptions."
        )
        for name, metric, limit in (
            ("HistoryLag", "DeliveryToS3.DataFreshness", 1800),
            ("HistoryFull", "ThrottledRecords", 0),
        ):
            self._add(
                name,
                cloudwatch.Metric(
                    namespace="AWS/Firehose",
                    metric_name=metric,
                    dimensions_map={"DeliveryStreamName": delivery.ref},
                    statistic="Maximum" if limit else "Sum",
                    period=_FIVE_MINUTES,
                ),
                "Firehose does not get alerts into the alerts bucket: see its log group.",
                threshold=limit,
            )

    def _add(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float = 0,
        of: int = 1,
        at_least: int = 1,
        below: bool = False,
    ) -> None:
        """Above the threshold; with `below`, at nothing at all. Silence is good news but for what must be heard."""
        operator, silence = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            alarm_description=description,
            threshold=1 if below else threshold,
            comparison_operator=operator.LESS_THAN_THRESHOLD if below else operator.GREATER_THAN_THRESHOLD,
            treat_missing_data=silence.BREACHING if below else silence.NOT_BREACHING,
            evaluation_periods=of,
            datapoints_to_alarm=at_least,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
