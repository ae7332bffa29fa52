"""Who may do what, statement by statement: adding or removing a permission changes this file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from stacks.constructs.permissions import NEEDED_BY_AWS
from tests.support.templates import Template, as_list, of_type, statements, text

Synthesized = Callable[..., dict[str, Template]]
PUBLISH = {
    "Publish": "sns:Publish on <AlertsTopic>",
    "KeepHistory": "firehose:PutRecordBatch on <HistoryDelivery.Arn>",
    "EncryptMessages": "kms:Decrypt GenerateDataKey on <Key.Arn> via sns",
}
STORE_AND_PUBLISH = {
    "ReadAlerts": "dynamodb:BatchGetItem on <AlertsTable.Arn> for alert#* family#* group#* limit#* rule#*",
    "StoreAlerts": (
        "dynamodb:PutItem on <AlertsTable.Arn> for added#* alert#* due#* family#* group#* limit#* notification#* rule#*"
    ),
    "ShareCounts": "dynamodb:UpdateItem on <AlertsTable.Arn> for count#*",
    "RememberSeen": "dynamodb:BatchGetItem PutItem on <AlertsTable.Arn> for expected#* seen#*",
    **PUBLISH,
}
LIVE_RULES = {"RememberLiveRules": "dynamodb:BatchGetItem PutItem on <AlertsTable.Arn> for live#*"}
TRACE = {"Trace": "xray:PutTelemetryRecords PutTraceSegments on *"}
RECEIVE = "sqs:DeleteMessage GetQueueAttributes ReceiveMessage on"
ALLOWED = {
    "EvaluationFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <EvaluationFunctionLogs.Arn>",
        "ReadStream": "kinesis:DescribeStream DescribeStreamSummary GetRecords GetShardIterator ListShards "
        "on <Stream.Arn>",
        "DecryptFrames": "kms:Decrypt on <Key.Arn> via kinesis",
        "ReadOversize": "s3:GetObject on <archive:Alerts.Arn>/oversize/*",
        "WriteParked": "s3:PutObject on <archive:Alerts.Arn>/parked/*",
        "WriteRejected": "s3:PutObject on <archive:Alerts.Arn>/rejected/*",
        "WriteDiscarded": "s3:PutObject on <archive:Alerts.Arn>/aws/lambda/*",
        "FindBucket": "s3:ListBucket on <archive:Alerts.Arn>",
        "DecryptObjects": "kms:Decrypt on <archive:Key.Arn> via s3",
        "EncryptObjects": "kms:GenerateDataKey on <archive:Key.Arn> via s3",
        "ReadLiveRules": "dynamodb:BatchGetItem on <AlertsTable.Arn> for live#*",
        **STORE_AND_PUBLISH,
    },
    "DigestFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <DigestFunctionLogs.Arn>",
        **TRACE,
        "ReadAlerts": (
            "dynamodb:BatchGetItem on <AlertsTable.Arn> for "
            "added#* alert#* due#* family#* group#* limit#* notification#* rule#*"
        ),
        "CloseWindows": "dynamodb:PutItem on <AlertsTable.Arn> for added#* due#* group#* limit#* notification#* rule#*",
        "SettleExpected": "dynamodb:BatchGetItem PutItem on <AlertsTable.Arn> for expected#*",
        "StoreAlerts": "dynamodb:PutItem on <AlertsTable.Arn> for alert#* family#*",
        "FindDue": "dynamodb:Query on <AlertsTable.Arn> for due#*",
        "SeeSettled": ("dynamodb:GetItem on <AlertsTable.Arn> for added#* expected#* group#* notification#* rule#*"),
        **LIVE_RULES,
        **PUBLISH,
    },
    "SweepFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <SweepFunctionLogs.Arn>",
        **TRACE,
        "ReceiveMessages": f"{RECEIVE} <SweepParkedQueueWaiting.Arn> <SweepQueueWaiting.Arn>",
        "ReadSegments": "s3:GetObject on <archive:Archive.Arn>/archive/*",
        "ReadOversize": "s3:GetObject on <archive:Alerts.Arn>/oversize/*",
        "ReadDiscarded": "s3:GetObjectVersion on <archive:Alerts.Arn>/aws/lambda/*",
        "ReadFramesAgain": "kinesis:GetRecords GetShardIterator on <Stream.Arn>",
        "DecryptFrames": "kms:Decrypt on <Key.Arn> via kinesis",
        "SeeMissingObjects": "s3:ListBucket on <archive:Alerts.Arn>",
        "WriteSeen": "s3:PutObject on <archive:Archive.Arn>/seen/*",
        "WriteExcluded": "s3:PutObject on <archive:Alerts.Arn>/rejected/swept/*",
        "WriteFailed": "s3:PutObject on <archive:Alerts.Arn>/rejected/alerts/*",
        "DecryptObjects": "kms:Decrypt on <archive:Key.Arn> via s3",
        "EncryptObjects": "kms:GenerateDataKey on <archive:Key.Arn> via s3",
        **LIVE_RULES,
        **STORE_AND_PUBLISH,
    },
    "ReconciliationFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <ReconciliationFunctionLogs.Arn>",
        **TRACE,
        "ReceiveMessages": f"{RECEIVE} <ReconciliationQueueWaiting.Arn>",
        "ListCopies": "s3:ListBucket on <archive:Archive.Arn> below archive/source=audit/* archive/source=audit-file/*",
        "ReadCopies": "s3:GetObject on <archive:Archive.Arn>/archive/source=audit-file/* "
        "<archive:Archive.Arn>/archive/source=audit/*",
        "DecryptObjects": "kms:Decrypt on <archive:Key.Arn> via s3",
    },
    "SlackFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <SlackFunctionLogs.Arn>",
        **TRACE,
        "ReceiveMessages": f"{RECEIVE} <SlackOtherQueueWaiting.Arn> <SlackQueueWaiting.Arn>",
        "DelayMessages": "sqs:ChangeMessageVisibility on <SlackOtherQueueWaiting.Arn> <SlackQueueWaiting.Arn>",
        "RecordDeliveries": "dynamodb:BatchGetItem PutItem on <AlertsTable.Arn> for sent#slack#*",
        "ReadSecret": "secretsmanager:GetSecretValue on <SlackSecret>",
        "DecryptSecret": "kms:Decrypt on <Key.Arn> via secretsmanager",
    },
    "History": {
        "WriteAlerts": "s3:AbortMultipartUpload GetObject PutObject on <archive:Alerts.Arn>/alerts/*",
        "FindBucket": "s3:GetBucketLocation ListBucket ListBucketMultipartUploads on <archive:Alerts.Arn>",
        "EncryptObjects": "kms:GenerateDataKey on <archive:Key.Arn> via s3",
        "DecryptObjects": "kms:Decrypt on <archive:Key.Arn> via s3",
        "WriteLogs": "logs:PutLogEvents on <HistoryLogs.Arn>",
    },
    "HistoryFeed": {"Put": "firehose:PutRecord PutRecordBatch on <HistoryDelivery.Arn>"},
}
ASSUMED_BY = {"History": "firehose.amazonaws.com", "HistoryFeed": "sns.amazonaws.com"}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_role_allows_exactly_these_statements(alerting: Template, name: str) -> None:
    roles = {found.rpartition("Role")[0]: role for found, role in of_type(alerting, "IAM::Role").items()}

    assert {statement["Sid"]: _line(statement) for statement in statements(roles[name])} == ALLOWED[name]
    [trust] = roles[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    of_this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert trust == {
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Principal": {"Service": ASSUMED_BY.get(name, "lambda.amazonaws.com")},
        **({} if name == "HistoryFeed" else {"Condition": of_this_account}),
    }


def test_notify_may_record_threads_only_where_the_secret_holds_a_bot_token(synthesized: Synthesized) -> None:
    template = synthesized(slack_channel="C0123456789")["alerting"]

    [role] = [role for name, role in of_type(template, "IAM::Role").items() if name.startswith("SlackFunction")]
    [rows] = [_line(found) for found in statements(role) if found["Sid"] == "RecordDeliveries"]
    assert rows.endswith(" for sent#slack#* thread#slack#*")


@pytest.mark.parametrize("name", ALLOWED)
def test_every_permission_on_rows_names_them_and_none_is_for_a_whole_table(alerting: Template, name: str) -> None:
    [role] = [role for found, role in of_type(alerting, "IAM::Role").items() if found.rpartition("Role")[0] == name]
    found = [it for it in statements(role) if as_list(it["Action"])[0].startswith("dynamodb:")]

    assert [it["Sid"] for it in found if "Condition" not in it] == []


@pytest.mark.parametrize("stack", ["alerting", "log-server", "vault"])
def test_no_role_may_read_the_keys_of_functions(templates: dict[str, Template], stack: str) -> None:
    found = [it for role in of_type(templates[stack], "IAM::Role").values() for it in statements(role)]
    actions = {action for it in found for action in as_list(it["Action"])}
    secrets = {text(of) for it in found if "secretsmanager:" in str(it["Action"]) for of in as_list(it["Resource"])}

    assert not {action for action in actions if action.startswith("lambda:Get") or "*" in action}
    assert not {action for action in actions if action.startswith("sns:") and action != "sns:Publish"}
    assert not {name for name in secrets if "RowSeal" in name or "MailKey" in name or "*" in name}


def test_there_are_no_other_roles_and_no_other_policies(alerting: Template) -> None:
    roles = of_type(alerting, "IAM::Role")

    assert {name.rpartition("Role")[0] for name in roles} == set(ALLOWED)
    assert not of_type(alerting, "IAM::Policy")
    assert not of_type(alerting, "IAM::ManagedPolicy")
    assert all("ManagedPolicyArns" not in role["Properties"] for role in roles.values())


def test_only_eventbridge_may_start_a_function_and_only_for_its_rule(alerting: Template) -> None:
    [permission] = of_type(alerting, "Lambda::Permission").values()

    assert permission["Properties"]["Principal"] == "events.amazonaws.com"
    assert text(permission["Properties"]["FunctionName"]) == "<DigestFunction.Arn>"
    assert text(permission["Properties"]["SourceArn"]) == "<DigestSchedule.Arn>"


def test_only_its_own_sources_may_send_to_a_queue(alerting: Template) -> None:
    senders: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name, policy in of_type(alerting, "SQS::QueuePolicy").items():
        for it in policy["Properties"]["PolicyDocument"]["Statement"]:
            if it["Effect"] == "Allow":
                [condition] = it["Condition"].values()
                sender = (it["Principal"]["Service"], text(condition["aws:SourceArn"]))
                senders[name.partition("Policy")[0]].add(sender)

    assert senders == {
        "AlertsUndelivered": {("sns.amazonaws.com", "<AlertsTopic>")},
        "EmailOtherKey": {("sns.amazonaws.com", "<AlertsTopic>")},
        "SlackQueueWaiting": {("sns.amazonaws.com", "<AlertsTopic>")},
        "SlackOtherQueueWaiting": {("sns.amazonaws.com", "<AlertsTopic>")},
        "SweepQueueWaiting": {("events.amazonaws.com", "<SweepNewObjects.Arn>")},
        "SweepQueueDeadLetters": {("events.amazonaws.com", "<SweepNewObjects.Arn>")},
        "SweepParkedQueueWaiting": {("events.amazonaws.com", "<SweepNewParked.Arn>")},
        "SweepParkedQueueDeadLetters": {("events.amazonaws.com", "<SweepNewParked.Arn>")},
        "ReconciliationQueueWaiting": {("events.amazonaws.com", "<ReconciliationSchedule.Arn>")},
        "ReconciliationQueueDeadLetters": {("events.amazonaws.com", "<ReconciliationSchedule.Arn>")},
    }


def test_every_permission_that_only_aws_needs_exists_and_has_a_reason(alerting: Template) -> None:
    used = {statement["Sid"] for role in of_type(alerting, "IAM::Role").values() for statement in statements(role)}

    assert set(NEEDED_BY_AWS) <= used


def _line(statement: dict[str, object]) -> str:
    """`service:Action Action on resource resource via service for rows`."""
    assert statement["Effect"] == "Allow"
    actions = [str(action).partition(":") for action in as_list(statement["Action"])]
    [service] = {service for service, _, _ in actions}
    said = f"{service}:{' '.join(action for _, _, action in actions)}"
    said += f" on {' '.join(text(resource) for resource in as_list(statement['Resource']))}"
    match statement.get("Condition"):
        case None:
            return said
        case {"StringEquals": {"kms:ViaService": service_name}}:
            return f"{said} via {text(service_name).partition('.')[0]}"
        case {"StringLike": {"s3:prefix": prefixes}}:
            return f"{said} below {' '.join(as_list(prefixes))}"
        case {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": rows},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }:
            return f"{said} for {' '.join(as_list(rows))}"
    raise AssertionError(f"unknown condition in {statement}")
