"""Who may do what, statement by statement: adding or removing a permission changes this file."""

from __future__ import annotations

import pytest

from stacks.constructs.permissions import NEEDED_BY_AWS
from tests.support.templates import Template, as_list, of_type, statements, text

STORE_AND_PUBLISH = {
    "StoreAlerts": "dynamodb:BatchGetItem BatchWriteItem PutItem on <AlertsTable.Arn>",
    "Publish": "sns:Publish on <AlertsTopic>",
    "EncryptMessages": "kms:Decrypt GenerateDataKey on <Key.Arn> via sns",
}
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
        **STORE_AND_PUBLISH,
    },
    "DigestFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <DigestFunctionLogs.Arn>",
        **TRACE,
        "UpdateAlerts": "dynamodb:DeleteItem UpdateItem on <AlertsTable.Arn>",
        "FindAlerts": "dynamodb:Query on <AlertsTable.Arn>/index/due <AlertsTable.Arn>/index/unsent",
        **STORE_AND_PUBLISH,
    },
    "SweepFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <SweepFunctionLogs.Arn>",
        **TRACE,
        "ReceiveMessages": f"{RECEIVE} <SweepQueueWaiting.Arn>",
        "ReadSegments": "s3:GetObject on <archive:Archive.Arn>/archive/*",
        "ReadParked": "s3:GetObject on <archive:Alerts.Arn>/aws/lambda/* <archive:Alerts.Arn>/oversize/* "
        "<archive:Alerts.Arn>/parked/*",
        "SeeMissingObjects": "s3:ListBucket on <archive:Alerts.Arn>",
        "DecryptObjects": "kms:Decrypt on <archive:Key.Arn> via s3",
        **STORE_AND_PUBLISH,
    },
    "SlackFunction": {
        "WriteLogs": "logs:CreateLogStream PutLogEvents on <SlackFunctionLogs.Arn>",
        **TRACE,
        "ReceiveMessages": f"{RECEIVE} <SlackQueueWaiting.Arn>",
        "DelayMessages": "sqs:ChangeMessageVisibility on <SlackQueueWaiting.Arn>",
        "RecordDeliveries": "dynamodb:BatchGetItem PutItem on <AlertsTable.Arn>",
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
    assert roles[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Action": "sts:AssumeRole",
            "Effect": "Allow",
            "Principal": {"Service": ASSUMED_BY.get(name, "lambda.amazonaws.com")},
        }
    ]


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
    senders = {}
    for name, policy in of_type(alerting, "SQS::QueuePolicy").items():
        for it in policy["Properties"]["PolicyDocument"]["Statement"]:
            if it["Effect"] == "Allow":
                [condition] = it["Condition"].values()
                senders[name.partition("Policy")[0]] = (it["Principal"]["Service"], text(condition["aws:SourceArn"]))

    assert senders == {
        "SlackQueueWaiting": ("sns.amazonaws.com", "<AlertsTopic>"),
        "SweepQueueWaiting": ("events.amazonaws.com", "<SweepNewObjects.Arn>"),
        "SweepQueueDeadLetters": ("events.amazonaws.com", "<SweepNewObjects.Arn>"),
    }


def test_every_permission_that_only_aws_needs_exists_and_has_a_reason(alerting: Template) -> None:
    used = {statement["Sid"] for role in of_type(alerting, "IAM::Role").values() for statement in statements(role)}

    assert set(NEEDED_BY_AWS) <= used


def _line(statement: dict[str, object]) -> str:
    """`service:Action Action on resource resource via service`."""
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
    raise AssertionError(f"unknown condition in {statement}")
