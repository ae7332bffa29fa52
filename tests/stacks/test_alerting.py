"""Stack `alerting`: how frames get to the functions and alerts to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cost.model import Assumptions
from tests.support.templates import Template, as_list, of_type, properties, text

Synthesized = Callable[..., dict[str, Template]]
DAY_SECONDS = 86_400


def test_the_stream_is_provisioned_encrypted_and_kept_for_a_week(alerting: Template) -> None:
    stream = properties(alerting, "Kinesis::Stream")

    assert stream["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert (stream["ShardCount"], stream["RetentionPeriodHours"]) == (1, 7 * 24)
    assert stream["StreamEncryption"]["EncryptionType"] == "KMS"
    assert text(stream["StreamEncryption"]["KeyId"]) == "<Key.Arn>"


def test_a_frame_is_tried_for_a_day_and_never_stops_those_beside_it(alerting: Template) -> None:
    mapping = properties(alerting, "Lambda::EventSourceMapping", "Evaluate")

    assert text(mapping.pop("EventSourceArn")) == "<Stream.Arn>"
    assert text(mapping.pop("FunctionName")) == "<EvaluateFunction.Arn>"
    assert text(mapping.pop("DestinationConfig")["OnFailure"]["Destination"]) == "<archive:Alerts.Arn>"
    del mapping["Tags"]
    assert mapping == {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": DAY_SECONDS,
        "MaximumRetryAttempts": -1,
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
    }


def test_the_functions_run_as_the_settings_say(synthesized: Synthesized) -> None:
    settings = {"lambda_python": "3.12", "lambda_architecture": "x86_64", "evaluate_memory_mib": 2048}
    functions = of_type(synthesized(**settings)["alerting"], "Lambda::Function").values()

    assert {found["Properties"]["Runtime"] for found in functions} == {"python3.12"}
    assert {tuple(found["Properties"]["Architectures"]) for found in functions} == {("x86_64",)}
    assert 2048 in {found["Properties"]["MemorySize"] for found in functions}


@pytest.mark.parametrize(
    ("name", "memory", "timeout", "tracing"),
    [
        ("Evaluate", 1024, 300, None),
        ("Digest", 512, 55, {"Mode": "Active"}),
        ("Sweep", 1769, 900, {"Mode": "Active"}),
        ("Notify", 256, 60, {"Mode": "Active"}),
    ],
)
def test_each_function_has_what_it_needs_and_no_tracing_on_the_hot_path(
    alerting: Template, name: str, memory: int, timeout: int, tracing: dict[str, str] | None
) -> None:
    function = properties(alerting, "Lambda::Function", name)

    assert function["Handler"] == f"lambdas.{name.lower()}.handler"
    assert (function["Runtime"], function["Architectures"]) == ("python3.14", ["arm64"])
    assert (function["MemorySize"], function["Timeout"]) == (memory, timeout)
    assert function.get("TracingConfig") == tracing
    assert text(function["LoggingConfig"]["LogGroup"]) == f"<{name}Logs>"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Evaluate", {"ALERT_MEMORY_DAYS", "BUCKET_NAME", "TABLE_NAME", "TIMEZONE", "TOPIC_ARN"}),
        ("Digest", {"ALERT_MEMORY_DAYS", "TABLE_NAME", "TOPIC_ARN"}),
        (
            "Sweep",
            {"ALERT_MEMORY_DAYS", "ARCHIVE_BUCKET_NAME", "BUCKET_NAME", "TABLE_NAME", "TIMEZONE", "TOPIC_ARN"},
        ),
        ("Notify", {"SLACK_SECRET_ARN", "TABLE_NAME"}),
    ],
)
def test_each_function_is_told_what_it_needs_and_nothing_else(alerting: Template, name: str, told: set[str]) -> None:
    variables = properties(alerting, "Lambda::Function", name)["Environment"]["Variables"]

    assert variables.pop("POWERTOOLS_SERVICE_NAME") == name.lower()
    assert variables.pop("POWERTOOLS_METRICS_NAMESPACE") == "Vaultwatch"
    assert set(variables) == told


def test_every_log_goes_after_the_days_of_the_settings(synthesized: Synthesized) -> None:
    groups = of_type(synthesized(log_retention_days=14)["alerting"], "Logs::LogGroup")

    assert len(groups) == 5
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {14}


def test_digest_runs_each_minute_one_at_a_time_and_is_not_tried_again(alerting: Template) -> None:
    rule = properties(alerting, "Events::Rule", "DigestSchedule")
    [target] = rule["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    assert text(target["Arn"]) == "<DigestFunction.Arn>"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    assert properties(alerting, "Lambda::Function", "Digest")["Timeout"] < 60


def test_a_digest_that_fails_or_is_not_let_start_leaves_its_work_to_the_next(alerting: Template) -> None:
    """EventBridge's retries end when Lambda has taken the event; from there on Lambda has its own, and six hours."""
    asynchronous = properties(alerting, "Lambda::EventInvokeConfig")

    assert text(asynchronous["FunctionName"]) == "<DigestFunction>"
    assert asynchronous["Qualifier"] == "$LATEST"
    assert (asynchronous["MaximumRetryAttempts"], asynchronous["MaximumEventAgeInSeconds"]) == (0, 60)


def test_new_segments_and_parked_frames_go_to_sweep(alerting: Template) -> None:
    rule = properties(alerting, "Events::Rule", "NewObjects")
    pattern, [target] = rule["EventPattern"], rule["Targets"]

    assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created"])
    assert [text(name) for name in pattern["detail"]["bucket"]["name"]] == ["<archive:Archive>", "<archive:Alerts>"]
    assert [key["prefix"] for key in pattern["detail"]["object"]["key"]] == ["archive/", "parked/", "aws/lambda/"]
    assert text(target["Arn"]) == "<SweepQueueWaiting.Arn>"
    assert text(target["DeadLetterConfig"]["Arn"]) == "<SweepQueueDeadLetters.Arn>"


@pytest.mark.parametrize(("queue", "function"), [("SweepQueue", "Sweep"), ("SlackQueue", "Notify")])
def test_a_queue_outlasts_a_day_of_its_functions_failing(alerting: Template, queue: str, function: str) -> None:
    waiting = properties(alerting, "SQS::Queue", f"{queue}Waiting")
    timeout = properties(alerting, "Lambda::Function", function)["Timeout"]
    receives = waiting["RedrivePolicy"]["maxReceiveCount"]

    assert waiting["VisibilityTimeout"] == 6 * timeout
    assert DAY_SECONDS < receives * waiting["VisibilityTimeout"] < waiting["MessageRetentionPeriod"]
    assert text(waiting["RedrivePolicy"]["deadLetterTargetArn"]) == f"<{queue}DeadLetters.Arn>"
    assert properties(alerting, "SQS::Queue", f"{queue}DeadLetters")["MessageRetentionPeriod"] == 14 * DAY_SECONDS


@pytest.mark.parametrize(
    ("queue", "function", "batch", "most"), [("SweepQueue", "Sweep", 1, 2), ("SlackQueue", "Notify", 10, 2)]
)
def test_a_queue_feeds_a_bounded_number_of_functions(
    alerting: Template, queue: str, function: str, batch: int, most: int
) -> None:
    mapping = properties(alerting, "Lambda::EventSourceMapping", queue)

    assert text(mapping["EventSourceArn"]) == f"<{queue}Waiting.Arn>"
    assert text(mapping["FunctionName"]) == f"<{function}Function.Arn>"
    assert mapping["BatchSize"] == batch
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": most}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_people_hear_firsts_and_summaries_from_the_level_of_their_sink_on(synthesized: Synthesized) -> None:
    settings = {"alert_emails": ["a@example.org"], "alert_email_level": "high", "slack_level": "informational"}
    found = of_type(synthesized(**settings)["alerting"], "SNS::Subscription").values()

    filters = {it["Properties"]["Protocol"]: it["Properties"].get("FilterPolicy") for it in found}
    everything = ["informational", "low", "medium", "high", "critical"]
    assert filters == {
        "email": {"disposition": ["first", "summary"], "level": ["high", "critical"]},
        "sqs": {"disposition": ["first", "summary"], "level": everything},
        "firehose": None,
    }


def test_slack_gets_the_machines_body_and_no_more(alerting: Template) -> None:
    [slack] = [
        it["Properties"]
        for it in of_type(alerting, "SNS::Subscription").values()
        if it["Properties"]["Protocol"] == "sqs"
    ]

    assert slack["RawMessageDelivery"] is True
    assert text(slack["TopicArn"]) == "<Alerts>"
    assert text(slack["Endpoint"]) == "<SlackQueueWaiting.Arn>"


def test_without_slack_nothing_of_it_is_made(synthesized: Synthesized) -> None:
    names = " ".join(synthesized(slack=False)["alerting"]["Resources"])

    assert "Slack" not in names
    assert "Notify" not in names


def test_the_webhook_is_not_in_the_template(alerting: Template) -> None:
    secret = properties(alerting, "SecretsManager::Secret")

    assert set(secret) == {"Description", "KmsKeyId", "Tags"}  # neither a value nor a made-up one


def test_addresses_of_the_settings_are_subscribed(alerting: Template) -> None:
    mails = {
        text(it["Properties"]["TopicArn"]): it["Properties"]["Endpoint"]
        for it in of_type(alerting, "SNS::Subscription").values()
        if it["Properties"]["Protocol"] == "email"
    }

    assert mails == {"<Alerts>": "a@example.org", "<Operations>": "o@example.org"}


def test_the_table_forgets_by_itself_and_can_be_set_back(alerting: Template) -> None:
    [table] = of_type(alerting, "DynamoDB::Table").values()
    found = table["Properties"]

    assert [key["AttributeName"] for key in found["KeySchema"]] == ["pk", "sk"]
    assert found["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert found["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert found["SSESpecification"] == {"SSEEnabled": True}
    assert found["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionPolicy"] == "Retain"
    assert {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in found["GlobalSecondaryIndexes"]
    } == {"due": ["due_kind", "due_at"], "unsent": ["unsent_sink", "unsent_order"]}


def test_every_alert_is_written_to_the_alerts_folder(alerting: Template) -> None:
    destination = properties(alerting, "KinesisFirehose::DeliveryStream")["ExtendedS3DestinationConfiguration"]

    assert text(destination["BucketARN"]) == "<archive:Alerts.Arn>"
    assert destination["Prefix"] == "alerts/dt=!{timestamp:yyyy-MM-dd}/"
    assert destination["CompressionFormat"] == "GZIP"
    assert destination["ErrorOutputPrefix"].startswith("alerts/")


def test_every_topic_and_queue_refuses_whoever_comes_without_tls(alerting: Template) -> None:
    policies = of_type(alerting, "SNS::TopicPolicy") | of_type(alerting, "SQS::QueuePolicy")

    assert len(policies) == 2 + 4
    for policy in policies.values():
        denied = [it for it in policy["Properties"]["PolicyDocument"]["Statement"] if it["Effect"] == "Deny"]
        assert [it["Condition"] for it in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_only_alarms_of_this_account_may_publish_to_operations(alerting: Template) -> None:
    policy = properties(alerting, "SNS::TopicPolicy", "Operations")["PolicyDocument"]["Statement"]
    [allowed] = [statement for statement in policy if statement["Effect"] == "Allow"]

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_every_alarm_says_what_is_wrong_and_calls_operations(alerting: Template) -> None:
    alarms = {name: alarm["Properties"] for name, alarm in of_type(alerting, "CloudWatch::Alarm").items()}

    for name, alarm in alarms.items():
        assert len(alarm["AlarmDescription"]) > 40, name
        assert [text(to) for to in alarm["AlarmActions"] + alarm["OKActions"]] == ["<Operations>"] * 2, name


def test_the_cost_page_counts_as_many_alarms_as_there_are(alerting: Template) -> None:
    assert len(of_type(alerting, "CloudWatch::Alarm")) == Assumptions().alarms


def test_what_must_be_heard_is_missed_and_what_is_not_there_is_no_error(alerting: Template) -> None:
    missing = {
        name: alarm["Properties"]["TreatMissingData"] for name, alarm in of_type(alerting, "CloudWatch::Alarm").items()
    }

    heard = {name for name, treated in missing.items() if treated == "breaching"}
    assert len(heard) == 1
    assert heard.pop().startswith("AlarmsDigestSilent")
    assert set(missing.values()) == {"breaching", "notBreaching"}


@pytest.mark.parametrize("function", ["Evaluate", "Digest", "Sweep", "Notify"])
@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_each_function_that_fails_or_cannot_start_raises_an_alarm(
    alerting: Template, function: str, metric: str
) -> None:
    assert f"<{function}Function>" in _watched(alerting, "AWS/Lambda", metric)


@pytest.mark.parametrize(
    ("namespace", "metric", "what"),
    [
        ("AWS/Lambda", "IteratorAge", "<EvaluateFunction>"),
        ("AWS/Lambda", "DestinationDeliveryFailures", "<EvaluateFunction>"),
        ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount", "<EvaluateMapping>"),
        ("AWS/Lambda", "Invocations", "<DigestFunction>"),
        ("AWS/Kinesis", "WriteProvisionedThroughputExceeded", "<Stream>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<SlackQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<SweepQueueDeadLetters.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<SlackQueueWaiting.QueueName>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<SweepQueueWaiting.QueueName>"),
        ("AWS/Events", "FailedInvocations", "<NewObjects>"),
        ("AWS/SNS", "NumberOfNotificationsFailed", "<Alerts.TopicName>"),
        ("AWS/Firehose", "DeliveryToS3.DataFreshness", "<HistoryDelivery>"),
        ("AWS/Firehose", "ThrottledRecords", "<HistoryDelivery>"),
    ],
)
def test_each_place_where_frames_or_alerts_can_stay_has_an_alarm(
    alerting: Template, namespace: str, metric: str, what: str
) -> None:
    assert what in _watched(alerting, namespace, metric)


def _watched(alerting: Template, namespace: str, metric: str) -> list[str]:
    """What the alarms on a metric look at."""
    alarms: list[dict[str, Any]] = [alarm["Properties"] for alarm in of_type(alerting, "CloudWatch::Alarm").values()]
    return [
        text(dimension["Value"])
        for alarm in alarms
        if (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
        for dimension in as_list(alarm["Dimensions"])
    ]
