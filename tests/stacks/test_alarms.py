"""The alarms: nothing that is silent or lost stays unseen, and each alarm says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns

from cost.hosts import ALARMS_OF_A_HOST, ALARMS_OF_A_NODE, ALARMS_OF_THE_AUTHORITY, ALARMS_OF_VAULT
from cost.model import Assumptions
from stacks.constructs.alarms import Alarms
from tests.support.templates import Template, as_list, of_type, properties, text
from vaultwatch.aws import metrics

Synthesized = Callable[..., dict[str, Template]]
PAGE = Path(__file__).parents[2] / "docs/alarms.md"
DECLARED = {metric.name: metric for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}
# These say how much there was and how long it took. Every other metric says that something was lost or is silent.
TRAFFIC = {
    "AlertLatency",  # seconds, which `frames-delayed` watches at the stream
    "Alerts",
    "FrameAge",
    "Frames",
    "PartialRecords",  # each has raised an alert, which people are notified of
    "PublishedNotifications",
    "ReceivedLines",
    "Records",
    "RuleErrorsByRule",  # RuleErrors is their sum
    "SentNotifications",
    "SilentSpans",  # each of their entries is in MissingEntries
    "ShippedBytes",
    "ShippedLines",
    "UndecidedRules",  # as above: the alert names them
}


@pytest.fixture(scope="module")
def alarms(alerting: Template) -> dict[str, dict[str, Any]]:
    """The properties of every alarm, by its name without the deployment's."""
    return by_name(alerting)


def by_name(template: Template, deployment: str = "vaultwatch") -> dict[str, dict[str, Any]]:
    found = [alarm["Properties"] for alarm in of_type(template, "CloudWatch::Alarm").values()]
    return {alarm["AlarmName"].removeprefix(f"{deployment}-"): alarm for alarm in found}


def of_functions(templates: dict[str, Template]) -> dict[str, dict[str, Any]]:
    """The alarms on metrics that our functions write, those of the authority included."""
    found = {
        name: alarm
        for stack in ("alerting", "log-server", "vault")
        for name, alarm in by_name(templates[stack]).items()
    }
    return {
        name: alarm
        for name, alarm in found.items()
        if alarm["Namespace"] == metrics.NAMESPACE and "service" in dimensions(alarm)
    }


def dimensions(alarm: dict[str, Any]) -> dict[str, str]:
    return {one["Name"]: text(one["Value"]) for one in as_list(alarm["Dimensions"])}


def watched(alarms: dict[str, dict[str, Any]], namespace: str, metric: str) -> set[str]:
    """Every value of the dimensions of the alarms on a metric."""
    found = [one for one in alarms.values() if (one["Namespace"], one["MetricName"]) == (namespace, metric)]
    return {value for alarm in found for value in dimensions(alarm).values()}


def test_every_alarm_has_a_name_says_what_to_do_and_notifies_operations(alerting: Template) -> None:
    for alarm in (found["Properties"] for found in of_type(alerting, "CloudWatch::Alarm").values()):
        name, description = alarm["AlarmName"], alarm["AlarmDescription"]
        assert re.fullmatch(r"vaultwatch-[a-z-]+", name)
        assert len(re.findall(r"[\w/]\. ?", description)) >= 3, name
        assert description.endswith(" More in docs/alarms.md."), name
        assert len(description) <= 1024, name  # CloudWatch API reference, PutMetricAlarm
        assert [text(to) for to in alarm["AlarmActions"] + alarm["OKActions"]] == ["<Operations>"] * 2, name


def test_the_page_about_the_alarms_has_each_of_them_once_and_no_others(
    alarms: dict[str, Any], templates: dict[str, Template]
) -> None:
    named = {name for stack in ("log-server", "network", "vault") for name in by_name(templates[stack])}
    of_hosts = {re.sub(r"^(log-server|vault-1)-", "", name) for name in named}
    headings = re.findall(r"^### .*", PAGE.read_text(), re.MULTILINE)

    assert sorted(name for heading in headings for name in re.findall(r"`([a-z-]+)`", heading)) == sorted(
        [*alarms, *of_hosts]
    )


def test_the_cost_page_counts_as_many_alarms_as_there_are(alarms: dict[str, Any]) -> None:
    assert len(alarms) == Assumptions().alarms


def test_every_figure_of_a_host_has_an_alarm(templates: dict[str, Template]) -> None:
    of_host = {value for name, value in vars(metrics).items() if name.startswith("HOST_")}
    of_vault = {
        metrics.VAULT_SEALED,
        metrics.VAULT_AUDIT_FAILURES,
        metrics.VAULT_AUDIT_SECONDS,
        metrics.VAULT_LEADERSHIP_LOST,
    }
    for stack, host, figures in (("log-server", "log-server", of_host), ("vault", "vault-1", of_host | of_vault)):
        found = by_name(templates[stack]).values()
        own = [alarm for alarm in found if alarm.get("Namespace") == metrics.NAMESPACE_OF_HOSTS]
        named = {"deployment": "vaultwatch", "host": host}
        assert {alarm["MetricName"] for alarm in own if dimensions(alarm) == named} == figures


def test_the_cost_page_counts_the_alarms_of_the_hosts(templates: dict[str, Template]) -> None:
    found = sum(len(by_name(templates[stack])) for stack in ("log-server", "network", "vault"))

    of_vault = ALARMS_OF_A_NODE + ALARMS_OF_VAULT
    assert found == 2 * ALARMS_OF_A_HOST + of_vault + ALARMS_OF_THE_AUTHORITY + 1  # and one of the NAT instance


def test_missing_data_is_an_alarm_where_something_must_always_come(alarms: dict[str, Any]) -> None:
    breaching = {name for name, alarm in alarms.items() if alarm["TreatMissingData"] == "breaching"}

    assert breaching == {
        "audit-heartbeats-missing",
        "server-heartbeats-missing",
        "evaluate-stopped",
        "digest-stopped",
        "evaluate-mapping-stopped",
        "notify-mapping-stopped",
        "notify-others-mapping-stopped",
        "sweep-mapping-stopped",
        "parked-mapping-stopped",
        "reconcile-mapping-stopped",
        "reconcile-stopped",
    }
    for name in breaching - {"reconcile-stopped"}:
        comparison = (alarms[name]["ComparisonOperator"], alarms[name]["Threshold"], alarms[name]["Period"])
        assert comparison == ("LessThanThreshold", 1, 300), name
    stopped = alarms["reconcile-stopped"]
    assert (stopped["Threshold"], stopped["Period"], stopped["EvaluationPeriods"]) == (1, 3600, 3)
    others = {alarm["TreatMissingData"] for name, alarm in alarms.items() if name not in breaching}
    assert others == {"notBreaching"}


def test_an_alarm_that_fires_before_a_log_server_sends_says_so(alarms: dict[str, Any]) -> None:
    for name in ("audit-heartbeats-missing", "server-heartbeats-missing", "evaluate-stopped"):
        assert (
            "As long as no log server sends to this deployment, this alarm is expected."
            in (alarms[name]["AlarmDescription"])
        )


def test_every_event_source_mapping_is_watched_by_what_it_polls(alerting: Template, alarms: dict[str, Any]) -> None:
    mappings = of_type(alerting, "Lambda::EventSourceMapping")

    polled = [alarm for alarm in alarms.values() if alarm["MetricName"] == "PolledEventCount"]
    assert {one["Value"]["Ref"] for alarm in polled for one in alarm["Dimensions"]} == set(mappings)
    assert {alarm["Statistic"] for alarm in polled} == {"SampleCount"}  # an idle mapping polls zero events
    for mapping in mappings.values():
        assert mapping["Properties"]["MetricsConfig"] == {"Metrics": ["EventCount"]}


@pytest.mark.parametrize("function", ["Evaluation", "Digest", "Sweep", "Reconciliation", "Slack"])
@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_each_function_that_fails_or_is_throttled_raises_an_alarm(
    alarms: dict[str, Any], function: str, metric: str
) -> None:
    assert f"<{function}Function>" in watched(alarms, "AWS/Lambda", metric)


@pytest.mark.parametrize(
    ("namespace", "metric", "what"),
    [
        ("AWS/Lambda", "IteratorAge", "<EvaluationFunction>"),
        ("AWS/Lambda", "DestinationDeliveryFailures", "<EvaluationFunction>"),
        ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount", "<EvaluationMapping>"),
        ("AWS/Lambda", "Invocations", "<DigestFunction>"),
        ("AWS/Lambda", "Invocations", "<EvaluationFunction>"),
        ("AWS/Kinesis", "WriteProvisionedThroughputExceeded", "<Stream>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<SlackQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<SweepQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<SweepParkedQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<ReconciliationQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<SlackQueueWaiting.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<ReconciliationQueueWaiting.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<SweepQueueWaiting.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<SweepParkedQueueWaiting.QueueName>"),
        ("AWS/Events", "FailedInvocations", "<SweepNewObjects>"),
        ("AWS/Events", "FailedInvocations", "<SweepNewParked>"),
        ("AWS/SNS", "NumberOfNotificationsFailed", "<AlertsTopic.TopicName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<AlertsUndelivered.QueueName>"),
        ("AWS/Firehose", "DeliveryToS3.DataFreshness", "<HistoryDelivery>"),
        ("AWS/Firehose", "ThrottledRecords", "<HistoryDelivery>"),
    ],
)
def test_each_place_where_frames_or_alerts_can_get_stuck_has_an_alarm(
    alarms: dict[str, Any], namespace: str, metric: str, what: str
) -> None:
    assert what in watched(alarms, namespace, metric)


def test_every_dead_letter_queue_has_an_alarm(alerting: Template, alarms: dict[str, Any]) -> None:
    queues = [properties(alerting, "SQS::Queue", name) for name in of_type(alerting, "SQS::Queue")]
    dead = {text(queue["RedrivePolicy"]["deadLetterTargetArn"]) for queue in queues if "RedrivePolicy" in queue}

    seen = watched(alarms, "AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert {name.replace(".QueueName>", ".Arn>") for name in seen} >= dead


def test_every_metric_of_ours_that_says_that_something_is_lost_or_silent_has_an_alarm_for_each_function(
    templates: dict[str, Template],
) -> None:
    ours = of_functions(templates).values()
    seen = {(alarm["MetricName"], dimensions(alarm)["service"]) for alarm in ours}

    lost = {(name, function) for name in DECLARED.keys() - TRAFFIC for function in DECLARED[name].functions}
    # What sweep evaluates may be old: its heartbeats say nothing about now, nor does the canary.
    assert lost - seen == {("CanaryEntries", "sweep"), ("Heartbeats", "sweep")}
    assert seen <= lost


def test_an_alarm_reads_a_metric_with_the_very_dimensions_with_which_its_function_writes_it(
    templates: dict[str, Template],
) -> None:
    ours = of_functions(templates)

    assert ours
    for name, alarm in ours.items():
        found, declared = dimensions(alarm), DECLARED[alarm["MetricName"]]
        assert alarm["Namespace"] == metrics.NAMESPACE
        assert found["service"] in declared.functions, name
        common = metrics.dimensions_of(found["service"], "vaultwatch")
        assert found == {**common, **{key: found[key] for key in declared.dimensions}}, name


def test_heartbeats_are_watched_for_each_log(alarms: dict[str, Any]) -> None:
    found = [dimensions(alarm) for alarm in alarms.values() if alarm["MetricName"] == "Heartbeats"]

    assert [one["source"] for one in found] == ["audit", "server"]


def test_without_slack_there_is_no_alarm_about_it(synthesized: Synthesized) -> None:
    found = by_name(synthesized(slack=False)["alerting"])

    assert [name for name in found if "notify" in name or "Slack" in found[name]["AlarmDescription"]] == []


def test_the_alarms_of_two_deployments_share_nothing(synthesized: Synthesized) -> None:
    blue = by_name(synthesized(deployment="blue")["alerting"], "blue")

    ours = [dimensions(alarm) for alarm in blue.values() if alarm["Namespace"] == metrics.NAMESPACE]
    assert {one["deployment"] for one in ours} == {"blue"}


def test_an_alarm_cannot_be_made_on_a_metric_that_its_function_does_not_write() -> None:
    stack = Stack()
    alarms = Alarms(stack, "Alarms", deployment="d", topic=sns.Topic(stack, "Topic"))

    with pytest.raises(ValueError, match=r"^notify does not write ParkedFrames"):
        alarms.own_metric(metrics.PARKED_FRAMES, "notify")
    with pytest.raises(ValueError, match=r"^evaluate does not write Heartbeats with the dimensions \[\]"):
        alarms.own_metric(metrics.HEARTBEATS, "evaluate")
