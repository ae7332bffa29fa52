"""The alarms about Vaultwatch itself: each says what happened, what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from vaultwatch.aws import metrics

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)
_FULL_PERCENT = 80
_MUCH_MEMORY_PERCENT = 90
_LATE_SECONDS = 1800
_MANY_FILES = 20
_MANY_LINES = 10_000
_MANY_LEASES = 100_000
_SLOW_SECONDS = 0.05
_LANES = {
    "socket": "entries reach rules only by the file of the audit device, or not at all.",
    "file": "what the socket loses is evaluated only when it is in the archive, and counting rules read the socket.",
}


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
        self.add(
            f"{name}-errors",
            function.metric_errors(period=FIVE_MINUTES),
            f"The function {name} failed. {effect} Look for the error in its log group.",
        )
        self.add(
            f"{name}-throttled",
            function.metric_throttles(period=FIVE_MINUTES),
            f"Lambda throttled the function {name}: the account has no concurrent executions left. {effect} "
            "Request a higher Lambda quota, or find the function that uses up the present one.",
        )

    def watch_mapping(self, name: str, function: str, mapping: lambda_.CfnEventSourceMapping) -> None:
        """Alarm when an event source mapping no longer polls its source.

        Args:
            name: With which the name of the alarm begins.
            function: The name of the function that the mapping starts.
            mapping: The mapping, with its metric `EventCount` enabled.
        """
        # A poll that finds nothing counts as zero events: data points are missing only if nothing polls.
        self.add(
            f"{name}-mapping-stopped",
            metric_of(
                "AWS/Lambda",
                "PolledEventCount",
                {"EventSourceMappingUUID": mapping.ref},
                statistic=cloudwatch.Stats.SAMPLE_COUNT,
            ),
            f"The event source mapping of the function {function} has not polled for five minutes: it is disabled or "
            "deleted, or its role may no longer read the source. What waits there is not lost yet. Enable the "
            "mapping, and look in CloudTrail for who changed it.",
            silence_is_failure=True,
        )

    def watch_schedule(self, function: lambda_.Function) -> None:
        """Alarm when the schedule no longer starts the function that sends summaries.

        Args:
            function: The function that the schedule starts.
        """
        self.add(
            "digest-stopped",
            function.metric_invocations(period=FIVE_MINUTES),
            "The function digest has not run for five minutes, so summaries are not sent and failed notifications are "
            "not retried. Check that its EventBridge rule is enabled and may invoke the function.",
            silence_is_failure=True,
        )

    def watch_queue(self, name: str, function: str, *, waiting: sqs.Queue, dead_letters: sqs.Queue) -> None:
        """Alarm when messages wait long in a queue, or are moved to its dead-letter queue.

        Args:
            name: With which the names of the alarms begin.
            function: The name of the function that the queue feeds.
            waiting: The queue.
            dead_letters: Its dead-letter queue.
        """
        # SQS keeps counting from when a message was first sent, also in the dead-letter queue.
        self.add(
            f"{name}-dead-letters",
            dead_letters.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE),
            f"The function {function} failed on some messages until SQS moved them to a dead-letter queue, which keeps "
            "them until 14 days after they were first sent. Fix the error in the function's log group, then redrive "
            "the queue.",
        )
        self.add(
            f"{name}-delayed",
            waiting.metric_approximate_age_of_oldest_message(statistic="Maximum", period=FIVE_MINUTES),
            f"Messages for the function {function} have been waiting for more than half an hour. Look for errors in "
            "its log group.",
            threshold=_LATE_SECONDS,
        )

    def watch_rule(self, name: str, rule: events.Rule) -> None:
        """Alarm when S3's events do not reach a queue of `sweep`.

        Args:
            name: With which the name of the alarm begins.
            rule: The EventBridge rule that forwards them.
        """
        self.add(
            f"{name}-events-lost",
            metric_of("AWS/Events", "FailedInvocations", {"RuleName": rule.rule_name}),
            "EventBridge cannot send the events of new S3 objects to a queue of the function sweep, so it does "
            "not evaluate them. Check the policy of the queue.",
        )

    def watch_topic(self, topic: sns.Topic, *, undelivered: sqs.Queue) -> None:
        """Alarm when the topic of the alerts cannot deliver to a subscriber.

        Args:
            topic: The topic to which alerts are published.
            undelivered: The dead-letter queue of its subscriptions.
        """
        self.add(
            "alerts-dead-letters",
            undelivered.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE),
            "SNS gave up delivering alerts to a queue or to Firehose, and moved them to the dead-letter "
            "queue of the alerts topic, which keeps them for 14 days. Correct the policy of the subscriber, then read "
            "the messages and handle their alerts.",
        )
        self.add(
            "alerts-undelivered",
            topic.metric_number_of_notifications_failed(statistic="Sum", period=FIVE_MINUTES),
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
        self.add(
            "history-delayed",
            metric_of("AWS/Firehose", "DeliveryToS3.DataFreshness", dimensions, statistic="Maximum"),
            f"Firehose has not written alerts to the alerts bucket for more than half an hour. {effect} "
            "Look for the error in its log group.",
            threshold=_LATE_SECONDS,
        )
        self.add(
            "history-throttled",
            metric_of("AWS/Firehose", "ThrottledRecords", dimensions),
            f"Firehose throttles the alerts that are sent to it. {effect} SNS retries for days, digest every minute; "
            "request a higher Firehose quota if it lasts.",
        )

    def watch_host(self, name: str, group: autoscaling.CfnAutoScalingGroup) -> None:
        """Alarm when a host does not run, is not ready, has a full disk or drops lines.

        Args:
            name: The name of the host.
            group: Its Auto Scaling group.
        """
        self.add(
            f"{name}-unhealthy",
            metric_of("AWS/EC2", "StatusCheckFailed", {"AutoScalingGroupName": group.ref}, statistic="Maximum"),
            f"The instance of {name} fails AWS's status checks. Auto Scaling replaces it; its volumes and its name "
            "stay. If this alarm lasts, look at the activity history of its Auto Scaling group.",
            periods=2,
            datapoints=2,
        )
        self.add(
            f"{name}-not-ready",
            metric_of_host(self._deployment, name, metrics.HOST_READY, cloudwatch.Stats.SUM),
            f"For ten minutes {name} has not reported that it is ready: it does not run, could not be set up after a "
            "boot, or one of its services has failed. `systemctl --failed` and `journalctl -u vaultwatch-boot` on the "
            "host say why; if no session opens, look at its console output.",
            periods=2,
            datapoints=2,
            silence_is_failure=True,
        )

        self.add(
            f"{name}-disk-full",
            metric_of_host(self._deployment, name, metrics.HOST_DISK_USED, cloudwatch.Stats.MAXIMUM),
            f"A disk of {name} is more than {_FULL_PERCENT} percent full. Rotated logs leave it when S3 has them: "
            "`journalctl -u vaultwatch-archive` says what waits. Make S3 reachable, or enlarge the volume by its "
            "setting. On a full disk no line is written, and what the buffers before it cannot hold is dropped.",
            threshold=_FULL_PERCENT,
            periods=2,
            datapoints=2,
        )
        self.add(
            f"{name}-lines-dropped",
            metric_of_host(self._deployment, name, metrics.HOST_DROPPED_LINES, cloudwatch.Stats.MAXIMUM),
            f"syslog-ng on {name} dropped lines, because a disk buffer or its disk is full. `syslog-ng-ctl stats` on "
            "the host says which. The other lane or the archive has these lines, so that they are evaluated later. The "
            "counter, and with it this alarm, ends when you restart syslog-ng.",
        )
        self.add(
            f"{name}-lines-waiting",
            metric_of_host(self._deployment, name, metrics.HOST_QUEUED_LINES, cloudwatch.Stats.MINIMUM),
            f"More than {_MANY_LINES:,} lines wait in the queues of syslog-ng on {name} for a quarter of an hour: "
            "what they go to is unavailable, or slower than Vault writes, so alerts are late. `syslog-ng-ctl stats` on "
            "the host says which queue. Nothing is lost until its disk buffer is full.",
            threshold=_MANY_LINES,
            periods=3,
            datapoints=3,
        )
        self.add(
            f"{name}-memory-full",
            metric_of_host(self._deployment, name, metrics.HOST_MEMORY_USED, cloudwatch.Stats.MAXIMUM),
            f"{name} uses more than {_MUCH_MEMORY_PERCENT} percent of its memory. It has no swap, so Linux will end a "
            "process when there is none left. `systemd-cgtop -m` on the host shows which service uses it; a larger "
            "instance type has more.",
            threshold=_MUCH_MEMORY_PERCENT,
            periods=2,
            datapoints=2,
        )
        self.add(
            f"{name}-files-waiting",
            metric_of_host(self._deployment, name, metrics.HOST_FILES_WAITING, cloudwatch.Stats.MAXIMUM),
            f"More than {_MANY_FILES} rotated logs of {name} wait for their upload to the archive. "
            "`journalctl -u vaultwatch-archive` on the host says why. They stay on their volume until S3 has them, and "
            "are evaluated a second time only then.",
            threshold=_MANY_FILES,
            periods=2,
            datapoints=2,
        )
        self.add(
            f"{name}-clock-wrong",
            metric_of_host(self._deployment, name, metrics.HOST_CLOCK_ERROR, cloudwatch.Stats.MAXIMUM),
            f"The clock of {name} may be wrong by more than a second: chrony does not reach the Amazon Time Sync "
            "Service, or somebody set the clock. Times in logs and certificates depend on it, and AWS refuses requests "
            "that are five minutes off. `chronyc -h 127.0.0.1 tracking` on the host shows the state.",
            threshold=1,
            periods=2,
            datapoints=2,
        )

    def watch_vault(self, name: str) -> None:
        """Alarm when Vault on a node is sealed, refuses requests that it cannot log, or loses the leadership.

        Args:
            name: The name of the node.
        """
        self.add(
            f"{name}-sealed",
            metric_of_host(self._deployment, name, metrics.VAULT_SEALED, cloudwatch.Stats.MAXIMUM),
            f"Vault on {name} is sealed. It unseals itself, unless somebody sealed it or the seal key cannot be used. "
            "Read `journalctl -u vault` on the node, and check in CloudTrail who used or changed the seal key.",
        )
        self.add(
            f"{name}-audit-failures",
            metric_of_host(self._deployment, name, metrics.VAULT_AUDIT_FAILURES, cloudwatch.Stats.SUM),
            f"No audit device of {name} took some entries, and Vault refused these requests. The volume of the audit "
            "file is full or broken, and syslog-ng does not run. Check both on the node: `df /var/log/vault`, "
            "`systemctl status syslog-ng`.",
        )
        self.add(
            f"{name}-audit-slow",
            metric_of_host(self._deployment, name, metrics.VAULT_AUDIT_SECONDS, cloudwatch.Stats.MAXIMUM),
            f"For ten minutes clients of Vault on {name} have waited for the audit devices, on average for more than a "
            "twentieth of a second with each entry. The disk of the audit file is slow, or syslog-ng does not read its "
            "socket. Check both on the node: `iostat`, `systemctl status syslog-ng`.",
            threshold=_SLOW_SECONDS,
            periods=2,
            datapoints=2,
        )
        self.add(
            f"{name}-leadership-lost",
            metric_of_host(self._deployment, name, metrics.VAULT_LEADERSHIP_LOST, cloudwatch.Stats.SUM),
            f"{name} was the active node of the cluster and lost that role while it was running. If nobody made it "
            "step down, the network between the nodes or the disk is too slow. `journalctl -u vault` says which.",
        )

    def watch_cluster(self) -> None:
        """Alarm when a cluster has no active node, no recent snapshot, or very many leases."""
        cluster = {"deployment": self._deployment}
        self.add(
            "no-active-node",
            metric_of(metrics.NAMESPACE_OF_HOSTS, metrics.VAULT_ACTIVE_NODE, cluster),
            "For ten minutes no node of the cluster has been active: Vault serves nobody. The alarms of the nodes say "
            "whether they run and are unsealed. If they are, Raft has no majority: `vault operator raft list-peers`.",
            periods=2,
            datapoints=2,
            silence_is_failure=True,
        )
        self.add(
            "no-snapshot",
            metric_of(metrics.NAMESPACE_OF_HOSTS, metrics.VAULT_SNAPSHOTS, cluster, period=Duration.hours(6)),
            "For a day no snapshot of Vault has reached S3. `journalctl -u vaultwatch-snapshot` on the active "
            "node says why. If the cluster is lost now, what was written since the last snapshot is lost with it.",
            periods=4,
            datapoints=4,
            silence_is_failure=True,
        )
        self.add(
            "many-leases",
            metric_of(metrics.NAMESPACE_OF_HOSTS, metrics.VAULT_LEASES, cluster, statistic=cloudwatch.Stats.MAXIMUM),
            f"Vault keeps more than {_MANY_LEASES:,} leases; each service token has one. Vault becomes slow with more, "
            "and takes long to start. A client that logs in for each request is the usual cause: the audit log names "
            "it. Let it keep its token, or shorten the time that its tokens are valid.",
            threshold=_MANY_LEASES,
        )
        self._watch_canary()

    def _watch_canary(self) -> None:
        for lane, meaning in _LANES.items():
            self.add(
                f"canary-{lane}-missing",
                self.own_metric(metrics.CANARIES, "evaluate", lane=lane),
                "The active node calls Vault each minute, and for five minutes the function evaluate has seen no audit "
                f"entry of that by the lane `{lane}`: {meaning} The other alarms say which part of the way fails; if "
                "none does, read `journalctl -u vaultwatch-ready` on the active node.",
                silence_is_failure=True,
            )

    def watch_nat(self, instance: ec2.CfnInstance) -> None:
        """Alarm when the NAT instance does not run.

        Args:
            instance: The instance.
        """
        self.add(
            "nat-unhealthy",
            metric_of("AWS/EC2", "StatusCheckFailed", {"InstanceId": instance.ref}, statistic="Maximum"),
            "The NAT instance fails AWS's status checks: hosts cannot reach packages, releases and services "
            "without an endpoint. What runs continues; a host that boots meanwhile cannot finish. AWS moves the "
            "instance if its hardware has failed; otherwise reboot it.",
            periods=2,
            datapoints=2,
        )

    def own_metric(
        self,
        metric: metrics.Metric,
        function: str,
        *,
        period: Duration = FIVE_MINUTES,
        statistic: str = cloudwatch.Stats.SUM,
        **dimensions: str,
    ) -> cloudwatch.Metric:
        """Return a metric that one of our functions writes in this deployment.

        Args:
            metric: The metric.
            function: The name of the function.
            period: What one data point sums up.
            statistic: How it does that.
            dimensions: The value of each of the metric's own dimensions.

        Raises:
            ValueError: If the function does not write this metric with these dimensions.
        """
        if function not in metric.functions or set(metric.dimensions) != set(dimensions):
            raise ValueError(f"{function} does not write {metric.name} with the dimensions {sorted(dimensions)}")
        common = metrics.dimensions_of(function, self._deployment)
        return metric_of(metrics.NAMESPACE, metric.name, {**common, **dimensions}, statistic=statistic, period=period)

    def add(
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
        """Add one alarm.

        Args:
            name: Its name, without the deployment's.
            metric: What it watches.
            description: What happened, what that means and what to do, for the person whom it notifies.
            threshold: Above this it fires; below this, if silence is a failure, and below 1 in any case.
            periods: Over how many periods of the metric it looks.
            datapoints: In how many of them the metric has to be above the threshold.
            silence_is_failure: Fire when nothing was counted at all, and below the threshold instead of above it.
        """
        operator, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name.title().replace("-", ""),
            alarm_name=f"{self._deployment}-{name}",
            alarm_description=f"{description} More in docs/alarms.md.",
            metric=metric,
            threshold=max(threshold, 1) if silence_is_failure else threshold,
            comparison_operator=operator.LESS_THAN_THRESHOLD if silence_is_failure else operator.GREATER_THAN_THRESHOLD,
            treat_missing_data=missing.BREACHING if silence_is_failure else missing.NOT_BREACHING,
            evaluation_periods=periods,
            datapoints_to_alarm=datapoints,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)


def metric_of_host(deployment: str, host: str, name: str, statistic: str) -> cloudwatch.Metric:
    """Return a metric that a host reports of itself."""
    return metric_of(metrics.NAMESPACE_OF_HOSTS, name, {"deployment": deployment, "host": host}, statistic=statistic)


def metric_of(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    statistic: str = cloudwatch.Stats.SUM,
    period: Duration = FIVE_MINUTES,
) -> cloudwatch.Metric:
    """Return a metric for which the CDK has no method of its own."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=period,
    )
