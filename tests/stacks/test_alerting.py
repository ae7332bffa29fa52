"""Stack `alerting`: how frames reach the functions, and how alerts reach people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.templates import Template, of_type, properties, text

Synthesized = Callable[..., dict[str, Template]]
DAY_SECONDS = 86_400


def test_the_stream_is_provisioned_encrypted_and_kept_for_a_week(alerting: Template) -> None:
    stream = properties(alerting, "Kinesis::Stream")

    assert stream["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert (stream["ShardCount"], stream["RetentionPeriodHours"]) == (1, 7 * 24)
    assert stream["StreamEncryption"]["EncryptionType"] == "KMS"
    assert text(stream["StreamEncryption"]["KeyId"]) == "<Key.Arn>"


def test_a_frame_is_retried_for_a_day_and_never_blocks_the_others(alerting: Template) -> None:
    mapping = properties(alerting, "Lambda::EventSourceMapping", "Evaluation")

    assert text(mapping.pop("EventSourceArn")) == "<Stream.Arn>"
    assert text(mapping.pop("FunctionName")) == "<EvaluationFunction.Arn>"
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


def test_nothing_lists_the_rows_of_the_table(alerting: Template) -> None:
    [table] = of_type(alerting, "DynamoDB::Table").values()

    assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes", "StreamSpecification"} & table["Properties"].keys()


def test_the_functions_run_as_the_settings_say(synthesized: Synthesized) -> None:
    settings = {"lambda_python": "3.12", "lambda_architecture": "x86_64", "evaluate_memory_mib": 2048}
    functions = of_type(synthesized(**settings)["alerting"], "Lambda::Function").values()

    assert {found["Properties"]["Runtime"] for found in functions} == {"python3.12"}
    assert {tuple(found["Properties"]["Architectures"]) for found in functions} == {("x86_64",)}
    assert 2048 in {found["Properties"]["MemorySize"] for found in functions}


@pytest.mark.parametrize(
    ("construct", "name", "memory", "timeout", "tracing"),
    [
        ("Evaluation", "evaluate", 1024, 120, None),
        ("Digest", "digest", 512, 55, {"Mode": "Active"}),
        ("Sweep", "sweep", 1769, 900, {"Mode": "Active"}),
        ("Reconciliation", "reconcile", 1769, 900, {"Mode": "Active"}),
        ("Slack", "notify", 256, 60, {"Mode": "Active"}),
    ],
)
def test_each_function_has_what_it_needs_and_no_tracing_on_the_hot_path(
    alerting: Template, construct: str, name: str, memory: int, timeout: int, tracing: dict[str, str] | None
) -> None:
    function = properties(alerting, "Lambda::Function", construct)

    assert function["Handler"] == f"lambdas.{name}.handler"
    assert (function["Runtime"], function["Architectures"]) == ("python3.14", ["arm64"])
    assert (function["MemorySize"], function["Timeout"]) == (memory, timeout)
    assert function.get("TracingConfig") == tracing
    assert text(function["LoggingConfig"]["LogGroup"]) == f"<{construct}FunctionLogs>"


STORING = {
    *("ARCHIVE_BUCKET_NAME", "ALERT_MEMORY_DAYS", "HISTORY_STREAM_NAME", "MAIL_KEY", "ROW_SEAL_KEY", "TABLE_NAME"),
    *("TIMEZONE", "TOPIC_ARN"),
}


@pytest.mark.parametrize(
    ("construct", "name", "expected"),
    [
        ("Evaluation", "evaluate", {"BUCKET_NAME", *STORING}),
        ("Digest", "digest", STORING),
        ("Sweep", "sweep", {"BUCKET_NAME", "STREAM_ARN", *STORING}),
        ("Reconciliation", "reconcile", {"ARCHIVE_BUCKET_NAME"}),
        ("Slack", "notify", {"ARCHIVE_BUCKET_NAME", "ROW_SEAL_KEY", "SLACK_SECRET_ARN", "TABLE_NAME", "TIMEZONE"}),
    ],
)
def test_each_function_gets_the_variables_it_needs_and_no_others(
    alerting: Template, construct: str, name: str, expected: set[str]
) -> None:
    variables = properties(alerting, "Lambda::Function", construct)["Environment"]["Variables"]

    assert variables.pop("POWERTOOLS_SERVICE_NAME") == name
    assert variables.pop("POWERTOOLS_METRICS_NAMESPACE") == "Vaultwatch"
    assert variables.pop("DEPLOYMENT") == "vaultwatch"
    assert set(variables) == expected


def test_every_log_group_keeps_entries_as_long_as_the_settings_say(synthesized: Synthesized) -> None:
    groups = of_type(synthesized(log_retention_days=14)["alerting"], "Logs::LogGroup")

    assert len(groups) == 6
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {14}


def test_digest_runs_every_minute_one_at_a_time_and_is_not_retried(alerting: Template) -> None:
    rule = properties(alerting, "Events::Rule", "DigestSchedule")
    [target] = rule["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    assert text(target["Arn"]) == "<DigestFunction.Arn>"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    assert properties(alerting, "Lambda::Function", "Digest")["Timeout"] < 60


def test_a_digest_that_fails_or_is_throttled_leaves_its_work_to_the_next_run(alerting: Template) -> None:
    """EventBridge's retries end once Lambda has accepted the event; Lambda then retries on its own, for six hours."""
    asynchronous = properties(alerting, "Lambda::EventInvokeConfig")

    assert text(asynchronous["FunctionName"]) == "<DigestFunction>"
    assert asynchronous["Qualifier"] == "$LATEST"
    assert (asynchronous["MaximumRetryAttempts"], asynchronous["MaximumEventAgeInSeconds"]) == (0, 60)


@pytest.mark.parametrize(
    ("rule", "bucket", "prefixes", "queue"),
    [
        ("SweepNewObjects", "<archive:Archive>", ["archive/"], "SweepQueue"),
        ("SweepNewParked", "<archive:Alerts>", ["parked/", "aws/lambda/"], "SweepParkedQueue"),
    ],
)
def test_sweep_gets_new_segments_and_parked_frames_by_queues_of_their_own(
    alerting: Template, rule: str, bucket: str, prefixes: list[str], queue: str
) -> None:
    """Whoever may add segments, as each host may, delays no parked frame."""
    found = properties(alerting, "Events::Rule", rule)
    pattern, [target] = found["EventPattern"], found["Targets"]

    assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created"])
    assert [text(name) for name in pattern["detail"]["bucket"]["name"]] == [bucket]
    assert [key["prefix"] for key in pattern["detail"]["object"]["key"]] == prefixes
    assert text(target["Arn"]) == f"<{queue}Waiting.Arn>"
    assert text(target["DeadLetterConfig"]["Arn"]) == f"<{queue}DeadLetters.Arn>"


def test_reconcile_gets_a_message_each_hour_and_room_for_its_rows(alerting: Template) -> None:
    rule = properties(alerting, "Events::Rule", "ReconciliationSchedule")
    [target] = rule["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(20 * * * ? *)", "ENABLED")
    assert text(target["Arn"]) == "<ReconciliationQueueWaiting.Arn>"
    assert text(target["DeadLetterConfig"]["Arn"]) == "<ReconciliationQueueDeadLetters.Arn>"
    assert properties(alerting, "Lambda::Function", "Reconciliation")["EphemeralStorage"] == {"Size": 1024}


def test_without_reconcile_none_of_its_resources_exist(synthesized: Synthesized) -> None:
    assert "reconcil" not in str(synthesized(reconcile=False)["alerting"]).lower()


@pytest.mark.parametrize(
    ("queue", "function"),
    [
        ("SweepQueue", "Sweep"),
        ("SweepParkedQueue", "Sweep"),
        ("ReconciliationQueue", "Reconciliation"),
        ("SlackQueue", "Slack"),
    ],
)
def test_a_queue_outlasts_a_day_in_which_its_function_fails(alerting: Template, queue: str, function: str) -> None:
    waiting = properties(alerting, "SQS::Queue", f"{queue}Waiting")
    timeout = properties(alerting, "Lambda::Function", function)["Timeout"]
    receives = waiting["RedrivePolicy"]["maxReceiveCount"]

    assert waiting["VisibilityTimeout"] == 6 * timeout
    assert DAY_SECONDS < receives * waiting["VisibilityTimeout"] < waiting["MessageRetentionPeriod"]
    assert text(waiting["RedrivePolicy"]["deadLetterTargetArn"]) == f"<{queue}DeadLetters.Arn>"
    assert properties(alerting, "SQS::Queue", f"{queue}DeadLetters")["MessageRetentionPeriod"] == 14 * DAY_SECONDS


@pytest.mark.parametrize(
    ("queue", "function", "batch", "most"),
    [
        ("SweepQueue", "Sweep", 1, 2),
        ("SweepParkedQueue", "Sweep", 1, 2),
        ("ReconciliationQueue", "Reconciliation", 1, 2),
        ("SlackQueue", "Slack", 10, 2),
        ("SlackOtherQueue", "Slack", 10, 2),
    ],
)
def test_a_queue_starts_a_limited_number_of_instances(
    alerting: Template, queue: str, function: str, batch: int, most: int
) -> None:
    mapping = properties(alerting, "Lambda::EventSourceMapping", queue)

    assert text(mapping["EventSourceArn"]) == f"<{queue}Waiting.Arn>"
    assert text(mapping["FunctionName"]) == f"<{function}Function.Arn>"
    assert mapping["BatchSize"] == batch
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": most}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_people_get_first_alerts_and_summaries_from_the_level_of_their_sink_on(synthesized: Synthesized) -> None:
    settings = {"operations_emails": [], "alert_email_level": "high", "slack_level": "informational"}
    found = of_type(synthesized(**settings)["alerting"], "SNS::Subscription").values()

    filters = {
        it["Properties"]["Protocol"]: it["Properties"].get("FilterPolicy")
        for it in found
        if "Other" not in text(it["Properties"]["Endpoint"])
    }
    everything = ["informational", "low", "medium", "high", "critical"]
    for protocol in ("email", "sqs"):
        [key] = filters[protocol].pop("mail_key")
        assert text(key) == "{{resolve:secretsmanager:<AlertsMailKey>:SecretString}}"
    assert filters == {
        "email": {"disposition": ["first", "summary"], "level": ["high", "critical"]},
        "sqs": {"disposition": ["first", "summary"], "level": everything},
        "firehose": None,
    }


def of_slack(alerting: Template) -> tuple[Any, Any]:
    """Return the subscription of what has the key of the functions, and that of the rest."""
    found = {text(it["Properties"]["Endpoint"]): it for it in of_type(alerting, "SNS::Subscription").values()}
    return found["<SlackQueueWaiting.Arn>"], found["<SlackOtherQueueWaiting.Arn>"]


def test_slack_gets_the_json_body_alone(alerting: Template) -> None:
    for slack in of_slack(alerting):
        assert slack["Properties"]["RawMessageDelivery"] is True
        assert text(slack["Properties"]["TopicArn"]) == "<AlertsTopic>"


def test_slack_gets_what_has_another_key_than_that_of_the_functions_by_a_queue_of_its_own(
    alerting: Template,
) -> None:
    own, others = of_slack(alerting)
    policies = [dict(it["Properties"]["FilterPolicy"]) for it in (own, others)]
    key, rest = [policy.pop("mail_key") for policy in policies]

    assert rest == [{"anything-but": key}]
    assert policies[0] == policies[1]
    # While a deployment is upgraded, nothing is between the two, and nothing has no key.
    [name] = [name for name, it in of_type(alerting, "SNS::Subscription").items() if it is others]
    publishing = {name for name, it in functions(alerting) if "MAIL_KEY" in str(it["Properties"]["Environment"])}
    assert {name, *publishing} <= set(own["DependsOn"])


def test_the_function_gets_the_channel_only_with_a_bot_token(alerting: Template, synthesized: Synthesized) -> None:
    with_token = synthesized(slack_channel="C0123456789")["alerting"]

    assert "SLACK_CHANNEL" not in properties(alerting, "Lambda::Function", "Slack")["Environment"]["Variables"]
    variables = properties(with_token, "Lambda::Function", "Slack")["Environment"]["Variables"]
    assert variables["SLACK_CHANNEL"] == "C0123456789"


def test_without_slack_none_of_its_resources_exist(synthesized: Synthesized) -> None:
    names = " ".join(synthesized(slack=False)["alerting"]["Resources"])

    assert "Slack" not in names
    assert "Notify" not in names


def test_the_webhook_is_not_in_the_template(alerting: Template) -> None:
    secret = properties(alerting, "SecretsManager::Secret", "Slack")

    assert set(secret) == {"Description", "KmsKeyId", "Tags"}  # neither a value nor a generated one


def test_a_mail_needs_the_key_of_the_functions_which_have_it_first(alerting: Template) -> None:
    [mail] = [
        it
        for it in of_type(alerting, "SNS::Subscription").values()
        if it["Properties"]["Protocol"] == "email" and text(it["Properties"]["TopicArn"]) == "<AlertsTopic>"
    ]

    publishing = {
        name: it["Properties"]["Environment"]["Variables"].get("MAIL_KEY") for name, it in functions(alerting)
    }
    keys = [value for value in publishing.values() if value]
    assert keys == 3 * mail["Properties"]["FilterPolicy"]["mail_key"]
    assert {name for name, value in publishing.items() if value} <= set(mail["DependsOn"])


def test_what_no_mail_has_because_of_its_key_is_in_a_queue_that_changes_with_the_mails(
    synthesized: Synthesized,
) -> None:
    found = of_type(synthesized(alert_email_level="high")["alerting"], "SNS::Subscription").values()
    by_endpoint = {text(it["Properties"]["Endpoint"]): it for it in found}
    mail = next(it for it in found if it["Properties"]["Protocol"] == "email" and "FilterPolicy" in it["Properties"])
    other = by_endpoint["<EmailOtherKey.Arn>"]

    policy = dict(other["Properties"]["FilterPolicy"])
    assert policy.pop("mail_key") == [{"anything-but": mail["Properties"]["FilterPolicy"]["mail_key"]}]
    assert policy.items() <= mail["Properties"]["FilterPolicy"].items()
    assert set(other["DependsOn"]) >= set(mail["DependsOn"])


def functions(alerting: Template) -> Iterable[tuple[str, Any]]:
    return of_type(alerting, "Lambda::Function").items()


@pytest.mark.parametrize("variable", ["ROW_SEAL_KEY", "MAIL_KEY"])
@pytest.mark.parametrize("construct", ["Evaluation", "Digest", "Sweep"])
def test_a_key_of_functions_is_generated_and_only_referred_to(
    alerting: Template, construct: str, variable: str
) -> None:
    holder = {"ROW_SEAL_KEY": "AlertsRowSeal", "MAIL_KEY": "AlertsMailKey"}[variable]
    [name] = [name for name in of_type(alerting, "SecretsManager::Secret") if name.startswith(holder)]
    secret = properties(alerting, "SecretsManager::Secret", holder)
    variables = properties(alerting, "Lambda::Function", construct)["Environment"]["Variables"]

    assert secret["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert "SecretString" not in secret
    assert text(secret["KmsKeyId"]) == "<Key.Arn>"
    reference = ["{{resolve:secretsmanager:", {"Ref": name}, ":SecretString}}"]
    assert variables[variable] == {"Fn::Join": ["", reference]}


def test_addresses_of_the_settings_are_subscribed(alerting: Template) -> None:
    mails = {
        text(it["Properties"]["TopicArn"]): it["Properties"]["Endpoint"]
        for it in of_type(alerting, "SNS::Subscription").values()
        if it["Properties"]["Protocol"] == "email"
    }

    assert mails == {"<AlertsTopic>": "a@example.org", "<Operations>": "o@example.org"}


def test_the_table_expires_its_rows_and_can_be_restored(alerting: Template) -> None:
    [table] = of_type(alerting, "DynamoDB::Table").values()
    found = table["Properties"]

    assert [key["AttributeName"] for key in found["KeySchema"]] == ["pk", "sk"]
    assert found["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert found["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert found["SSESpecification"] == {"SSEEnabled": True}
    assert found["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionPolicy"] == "Retain"


def test_every_alert_is_written_to_the_alerts_folder(alerting: Template) -> None:
    destination = properties(alerting, "KinesisFirehose::DeliveryStream")["ExtendedS3DestinationConfiguration"]

    assert text(destination["BucketARN"]) == "<archive:Alerts.Arn>"
    assert destination["Prefix"] == "alerts/dt=!{timestamp:yyyy-MM-dd}/"
    assert destination["CompressionFormat"] == "GZIP"
    assert destination["ErrorOutputPrefix"].startswith("alerts/")


def test_every_topic_and_queue_refuses_requests_without_tls(alerting: Template) -> None:
    policies = of_type(alerting, "SNS::TopicPolicy") | of_type(alerting, "SQS::QueuePolicy")

    assert len(policies) == 2 + 12
    for policy in policies.values():
        denied = [it for it in policy["Properties"]["PolicyDocument"]["Statement"] if it["Effect"] == "Deny"]
        assert [it["Condition"] for it in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]


def test_what_cannot_be_delivered_to_slack_or_to_the_history_is_kept_and_raises_an_alarm(alerting: Template) -> None:
    redriven = {
        text(it["Properties"]["Endpoint"]): text(it["Properties"]["RedrivePolicy"]["deadLetterTargetArn"])
        for it in of_type(alerting, "SNS::Subscription").values()
        if it["Properties"]["Protocol"] != "email" and "OtherKey" not in text(it["Properties"]["Endpoint"])
    }

    endpoints = ["<SlackQueueWaiting.Arn>", "<SlackOtherQueueWaiting.Arn>", "<HistoryDelivery.Arn>"]
    assert redriven == dict.fromkeys(endpoints, "<AlertsUndelivered.Arn>")
    assert properties(alerting, "SQS::Queue", "AlertsUndelivered")["MessageRetentionPeriod"] == 14 * DAY_SECONDS


def test_a_disabled_data_key_does_not_silence_the_alarms(alerting: Template) -> None:
    keys = {
        text({"Ref": name}): text(it["Properties"]["KmsMasterKeyId"])
        for name, it in of_type(alerting, "SNS::Topic").items()
    }
    policy = properties(alerting, "KMS::Key", "OperationsKey")["KeyPolicy"]["Statement"]
    [alarms] = [it for it in policy if it["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]

    assert keys == {"<AlertsTopic>": "<Key.Arn>", "<Operations>": "<OperationsKey.Arn>"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert "cloudwatch" not in str(properties(alerting, "KMS::Key", "Key9")["KeyPolicy"])


def test_only_alarms_of_this_account_may_publish_to_operations(alerting: Template) -> None:
    policy = properties(alerting, "SNS::TopicPolicy", "Operations")["PolicyDocument"]["Statement"]
    [allowed] = [statement for statement in policy if statement["Effect"] == "Allow"]

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
