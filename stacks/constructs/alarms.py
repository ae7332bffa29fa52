"""The alarms about Vaultwatch itself: each says what happened, what it means and what to do."""

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

from vaultwatch.aws import keys, metrics

_MINUTE = Duration.minutes(1)
_FIVE_MINUTES = Duration.minutes(5)
_LATE_SECONDS = 1800


class Alarms(Construct):
    """The alarms of one deployment; each notifies one topic when it fires and when it recovers.

    Args:
        scope: The construct that holds the alarms.
        construct_id: The id within `scope`.
        deployment: The name of the deployment, with which the names of its alarms begin.
        topic: The topic for the people who operate Vaultwatch.
    """

    def __init__(self, scope: Construct, construct_id: str, *, deployment: str, topic: sns.ITopic) -> None:
        super().__init__(scope, construct_id)
        self._deployment = deployment
        self._action = actions.SnsAction(topic)

    def watch_function(self, name: str, function: lambda_.Function, *, effect: str) -> None:
        """Alarm when a function fails, or when Lambda throttles it.

        Args:
            name: The name of the function, as in `lambdas`.
            function: The function.
            effect: What its failures mean, as one sentence.
        """
        self._add(
            f"{name}-errors",
            function.metric_errors(period=_FIVE_MINUTES),
            f"The function {name} failed. {effect} Look for the error in its log group.",
        )
        self._add(
            f"{name}-throttled",
            function.metric_throttles(period=_FIVE_MINUTES),
            f"Lambda throttled the function {name}: the account has no concurrent executions left. {effect} "
            "Request a higher Lambda quota, or find the function that uses up the present one.",
        )

    def watch_stream(
        self, *, stream: kinesis.Stream, function: lambda_.Function, mapping: lambda_.CfnEventSourceMapping
    ) -> None:
        """Alarm when frames wait on the stream, are refused by it, or are given up.

        Args:
            stream: The stream of frames.
            function: The function that evaluates them.
            mapping: The event source mapping between the two.
        """
        self._add(
            "frames-delayed",
            function.metric("IteratorAge", statistic="Maximum", period=_MINUTE),
            "Log lines wait more than a minute on the stream before they are evaluated, so alerts are late. Check the "
            "errors and the duration of the function evaluate first; if it is healthy, raise stream_shards.",
            threshold=60_000,
            periods=5,
            datapoints=3,
        )
        self._add(
            "stream-full",
            stream.metric_write_provisioned_throughput_exceeded(statistic="Sum", period=_FIVE_MINUTES),
            "The stream throttles the log server, which buffers the lines on its disk and retries. Alerts are late "
            "and nothing is lost yet. Raise stream_shards.",
        )
        self._add(
            "frames-discarded",
            _metric(
                "AWS/Lambda",
                "OnFailureDestinationDeliveredEventCount",
                {"EventSourceMappingUUID": mapping.ref},
            ),
            "The function evaluate failed on some frames until Lambda discarded them. They are in the alerts bucket "
            f"below {keys.DISCARDED}, and the function sweep evaluates them from there. Look for the error in the log "
            "group of the function evaluate.",
        )
        self._add(
            "frames-lost",
            function.metric("DestinationDeliveryFailures", statistic="Sum", period=_FIVE_MINUTES),
            "Lambda discarded frames and could not write them to the alerts bucket, so nothing evaluates them from the "
            "stream. The archive holds the same lines, and the function sweep evaluates them from there. Check the "
            "permissions of the role of the function evaluate on the alerts bucket.",
        )

    def watch_parked_frames(self, function: str) -> None:
        """Alarm when a function finds frames that it cannot read.

        Args:
            function: The name of the function.
        """
        self._add(
            f"{function}-parked-frames",
            _own_metric(metrics.PARKED_FRAMES, function),
            f"The function {function} could not read some frames and parked them in the alerts bucket below "
            f"{keys.PARKED}; the function sweep evaluates what it can of them. They were damaged on their way, or "
            "somebody else writes to the stream. Check who may put records on it.",
        )

    def watch_schedule(self, function: lambda_.Function) -> None:
        """Alarm when the schedule no longer starts the function that sends summaries.

        Args:
            function: The function that the schedule starts.
        """
        self._add(
            "digest-stopped",
            function.metric_invocations(period=_FIVE_MINUTES),
            "The function digest has not run for five minutes, so summaries are not sent and failed notifications are "
            "not retried. Check that its EventBridge rule is enabled and may invoke the function.",
            silence_is_failure=True,
        )

    def watch_queue(self, name: str, *, waiting: sqs.Queue, dead_letters: sqs.Queue) -> None:
        """Alarm when messages wait long in a queue, or are moved to its dead-letter queue.

        Args:
            name: The name of the function that the queue feeds.
            waiting: The queue.
            dead_letters: Its dead-letter queue.
        """
        # SQS keeps counting from when a message was first sent, also in the dead-letter queue.
        self._add(
            f"{name}-dead-letters",
            dead_letters.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_MINUTE),
            f"The function {name} failed on some messages until SQS moved them to its dead-letter queue, which keeps "
            "them until 14 days after they were first sent. Fix the error in the function's log group, then redrive "
            "the queue.",
        )
        self._add(
            f"{name}-delayed",
            waiting.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_FIVE_MINUTES),
            f"Messages for the function {name} have been waiting for more than half an hour. Look for errors in its "
            "log group.",
            threshold=_LATE_SECONDS,
        )

    def watch_rule(self, rule: events.Rule) -> None:
        """Alarm when S3's events do not reach the queue of `sweep`.

        Args:
            rule: The EventBridge rule that forwards them.
        """
        self._add(
            "sweep-events-lost",
            _metric("AWS/Events", "FailedInvocations", {"RuleName": rule.rule_name}),
            "EventBridge cannot send the events of new S3 objects to the queue of the function sweep, so archived "
            "segments are not evaluated a second time. Check the policy of the queue.",
        )

    def watch_topic(self, topic: sns.Topic) -> None:
        """Alarm when the topic of the alerts cannot deliver to a subscriber.

        Args:
            topic: The topic to which alerts are published.
        """
        self._add(
            "alerts-undelivered",
            topic.metric_number_of_notifications_failed(statistic="Sum", period=_FIVE_MINUTES),
            "SNS failed to deliver alerts to a subscriber: somebody may not have been notified. Check the "
            "subscriptions of the alerts topic; the table holds every alert.",
        )

    def watch_delivery(self, delivery: firehose.CfnDeliveryStream) -> None:
        """Alarm when Firehose does not get alerts into S3.

        Args:
            delivery: The delivery stream.
        """
        dimensions = {"DeliveryStreamName": delivery.ref}
        effect = "People are still notified; the history in the alerts bucket is incomplete."
        self._add(
            "history-delayed",
            _metric("AWS/Firehose", "DeliveryToS3.DataFreshness", dimensions, statistic="Maximum"),
            f"Firehose has not written alerts to the alerts bucket for more than half an hour. {effect} "
            "Look for the error in its log group.",
            threshold=_LATE_SECONDS,
        )
        self._add(
            "history-throttled",
            _metric("AWS/Firehose", "ThrottledRecords", dimensions),
            f"Firehose throttles the alerts that SNS sends to it. {effect} SNS retries for days; request a "
            "higher Firehose quota if it lasts.",
        )

    def _add(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float = 0,
        periods: int = 1,
        datapoints: int = 1,
        silence_is_failure: bool = False,
    ) -> None:
        """Alarm above a threshold; with `silence_is_failure`, when nothing was counted at all."""
        operator, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name.title().replace("-", ""),
            alarm_name=f"{self._deployment}-{name}",
            alarm_description=description,
            metric=metric,
            threshold=1 if silence_is_failure else threshold,
            comparison_operator=operator.LESS_THAN_THRESHOLD if silence_is_failure else operator.GREATER_THAN_THRESHOLD,
            treat_missing_data=missing.BREACHING if silence_is_failure else missing.NOT_BREACHING,
            evaluation_periods=periods,
            datapoints_to_alarm=datapoints,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)


def _own_metric(metric: metrics.Metric, function: str) -> cloudwatch.Metric:
    """A metric that one of our functions writes."""
    if function not in metric.functions or metric.dimensions:
        raise ValueError(f"{function} does not write {metric.name} without further dimensions")
    return _metric(metrics.NAMESPACE, metric.name, {"service": function})


def _metric(namespace: str, name: str, dimensions: dict[str, str], *, statistic: str = "Sum") -> cloudwatch.Metric:
    """A metric of an AWS service that has no method in the CDK."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=_FIVE_MINUTES,
    )
