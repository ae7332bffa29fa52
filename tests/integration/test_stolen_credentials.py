"""With the stolen credential of one function nobody can change the rows of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.aws import LocalAws
from testbed.deployment import ALERTING, ARCHIVE
from vaultwatch.store.dynamodb import schema

Row = dict[str, Any]
NEVER_DUE = {"due_at": {"N": "9e12"}, "body": {"B": b"{}"}}
ROWS = {
    "alert": schema.alert_key("1"),
    "window": schema.window_key("g"),
    "held": schema.held_key("r"),
    "live": schema.live_key("r", "1"),
    "limit": schema.limit_key("urgent"),
    "seen": schema.seen_key("c"),
    "expected": schema.expected_key("g"),
    "sightings": schema.sightings_key("f"),
    "notification": schema.delivery_key("n", "sns"),
    "sent": schema.sent_key("n", "slack"),
    "sent to another sink": schema.sent_key("n", "pager"),
    "thread": schema.thread_key("g", "slack"),
    "count": schema.count_key("w"),
    "calendar": (schema.calendar_key("window", 1.0), "1"),
}
STORED = {"alert", "window", "held", "limit", "sightings", "notification", "calendar"}
SEEN = {"seen", "expected"}
PUT = {
    "Evaluation": STORED | SEEN,
    "Sweep": STORED | SEEN | {"live"},
    "Digest": STORED | {"expected", "live"},
    "Slack": {"sent"},
}
READ = {
    "Evaluation": STORED - {"notification", "calendar"} | SEEN | {"live"},
    "Sweep": STORED - {"notification", "calendar"} | SEEN | {"live"},
    "Digest": STORED | {"expected", "live"},
    "Slack": {"sent"},
}
UPDATE = {"Evaluation": {"count"}, "Sweep": {"count"}, "Digest": set[str](), "Slack": set[str]()}


COPY, FILE_COPY = "archive/source=audit/node=vault-1/x", "archive/source=audit-file/node=vault-1/x"
EXCLUDED = {"rejected/alerts/x", "rejected/swept/x"}
KEYS = {
    "Archive": (COPY, FILE_COPY, "archive/source=server/node=vault-1/x", "seen/x"),
    "Alerts": (
        "alerts/x",
        "aws/lambda/x",
        "oversize/x",
        "parked/x",
        "rejected/x",
        "rejected/alerts/x",
        "rejected/swept/x",
    ),
}
OBJECTS = {
    "History": {"get_object": {"alerts/x"}, "put_object": {"alerts/x"}},
    "Reconciliation/Function": {"get_object": {COPY, FILE_COPY}, "put_object": set[str]()},
    "Evaluation/Function": {
        "get_object": {"oversize/x"},
        "put_object": {"aws/lambda/x", "parked/x", "rejected/x", *EXCLUDED},
    },
    "Sweep/Function": {
        "get_object": {*KEYS["Archive"][:3], "oversize/x"},
        "put_object": {"seen/x", *EXCLUDED},
    },
    "Digest/Function": {"get_object": set[str](), "put_object": set[str]()},
    "Slack/Function": {"get_object": set[str](), "put_object": set[str]()},
}  # fmt: skip


@pytest.fixture(scope="module")
def aws(deployed_templates: dict[str, Any], bundle: Path) -> Iterator[LocalAws]:
    aws = LocalAws(deployed_templates, bundle)
    with aws:
        yield aws
        aws.endpoint.calls.clear()  # whose refusals are what these tests are about


class Thief:
    """Calls DynamoDB with the credential of one function."""

    def __init__(self, aws: LocalAws, function: str) -> None:
        self._client = aws.client("dynamodb", _role(aws, function))
        self.table = aws.physical_id(ALERTING, "Alerts/Table")

    def may(self, operation: str, **arguments: Any) -> bool:
        """Return whether a call is not refused; a condition that does not hold is no refusal."""
        try:
            getattr(self._client, operation)(**arguments)
        except ClientError as error:
            return error.response["Error"]["Code"] != "AccessDeniedException"
        return True

    def puts(self, *keys: schema.Key) -> bool:
        """Return whether it may put these rows, alone and in a transaction; both give the same answer."""
        items: list[Row] = [{**_key(key), **NEVER_DUE} for key in keys]
        parts: Any = [{"Put": {"TableName": self.table, "Item": item}} for item in items]
        together = self.may("transact_write_items", TransactItems=parts)
        alone = all(self.may("put_item", TableName=self.table, Item=item) for item in items)
        assert together == alone
        return together

    def reads(self, *keys: schema.Key) -> bool:
        """Return whether it may read these rows in one batch."""
        return self.may("batch_get_item", RequestItems={self.table: {"Keys": [_key(key) for key in keys]}})

    def updates(self, key: schema.Key) -> bool:
        """Return whether it may change a part of a row, alone and in a transaction; both give the same answer."""
        update: Any = {"TableName": self.table, "Key": _key(key), "UpdateExpression": "REMOVE due_at"}
        alone = self.may("update_item", **update)
        assert alone == self.may("transact_write_items", TransactItems=[{"Update": update}])
        return alone

    def deletes(self, *keys: schema.Key) -> set[str]:
        """Return by which operations it may delete these rows."""
        first = _key(keys[0])
        part: Any = {"Delete": {"TableName": self.table, "Key": first}}
        writes: Any = [{"DeleteRequest": {"Key": _key(key)}} for key in keys]
        calls: Mapping[str, Any] = {
            "delete_item": {"TableName": self.table, "Key": first},
            "transact_write_items": {"TransactItems": [part]},
            "batch_write_item": {"RequestItems": {self.table: writes}},
        }
        return {operation for operation, arguments in calls.items() if self.may(operation, **arguments)}


def _role(aws: LocalAws, holder: str) -> str:
    return aws.physical_id(ALERTING, f"{holder}/Role" if "History" in holder else f"{holder}/Function/Role")


def _key(key: schema.Key) -> Row:
    return {schema.PARTITION_KEY: {"S": key[0]}, schema.SORT_KEY: {"S": key[1]}}


def test_notify_cannot_open_a_window_without_end(aws: LocalAws) -> None:
    thief = Thief(aws, "Slack")

    assert not thief.puts(ROWS["window"])
    assert not thief.puts(ROWS["sent"], ROWS["window"])


@pytest.mark.parametrize("function", PUT)
def test_a_function_may_write_and_read_the_rows_it_needs_and_no_others(aws: LocalAws, function: str) -> None:
    thief = Thief(aws, function)

    assert {name for name, key in ROWS.items() if thief.puts(key)} == PUT[function]
    assert {name for name, key in ROWS.items() if thief.reads(key)} == READ[function]
    assert {name for name, key in ROWS.items() if thief.updates(key)} == UPDATE[function]


@pytest.mark.parametrize("holder", ["Reconciliation", "History", "History/Feed"])
def test_who_has_the_names_of_rows_and_the_credential_of_another_role_reaches_none(aws: LocalAws, holder: str) -> None:
    thief = Thief(aws, holder)

    for key in (ROWS["window"], ROWS["notification"]):  # which digest writes, too
        assert [thief.puts(key), thief.reads(key), thief.updates(key), thief.deletes(key)] == [
            False,
            False,
            False,
            set(),
        ]


@pytest.mark.parametrize("function", PUT)
def test_a_batch_with_one_row_of_another_function_is_refused_as_a_whole(aws: LocalAws, function: str) -> None:
    thief, own = Thief(aws, function), ROWS[min(READ[function])]

    assert thief.reads(own)
    assert not thief.reads(own, ROWS["sent to another sink"])


@pytest.mark.parametrize("function", PUT)
def test_no_function_may_delete_a_row(aws: LocalAws, function: str) -> None:
    thief = Thief(aws, function)

    assert [name for name, key in ROWS.items() if thief.deletes(key)] == []


@pytest.mark.parametrize("function", PUT)
def test_a_call_that_names_no_key_is_refused(aws: LocalAws, function: str) -> None:
    thief = Thief(aws, function)
    statement = f'SELECT * FROM "{thief.table}"'

    assert not thief.may("scan", TableName=thief.table)
    assert not thief.may("execute_statement", Statement=statement)


@pytest.mark.parametrize("function", PUT)
def test_only_digest_may_query_and_nothing_but_a_calendar(aws: LocalAws, function: str) -> None:
    thief = Thief(aws, function)

    def queries(partition: str) -> bool:
        condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
        return thief.may("query", TableName=thief.table, **condition)

    found = {name for name, (partition, _) in ROWS.items() if queries(partition)}
    assert found == ({"calendar"} if function == "Digest" else set())


@pytest.mark.parametrize("holder", OBJECTS)
def test_a_role_may_read_and_write_the_objects_it_needs_and_delete_none(aws: LocalAws, holder: str) -> None:
    s3 = aws.client("s3", aws.physical_id(ALERTING, f"{holder}/Role"))

    def may(operation: str, bucket: str, key: str) -> bool:
        body = {"Body": b"x", "IfNoneMatch": "*"} if operation == "put_object" else {}
        try:
            getattr(s3, operation)(Bucket=aws.output(ARCHIVE, f"{bucket}BucketName"), Key=key, **body)
        except ClientError as error:
            # A role that may not list a bucket may not see either that an object is missing.
            return error.response["Error"]["Code"] != "AccessDenied" or "s3:ListBucket" in str(error)
        return True

    allowed = {
        operation: {key for bucket, keys in KEYS.items() for key in keys if may(operation, bucket, key)}
        for operation in ("get_object", "put_object", "delete_object")
    }
    assert allowed == {**OBJECTS[holder], "delete_object": set()}


CALLS: Mapping[str, tuple[str, str, dict[str, str]]] = {
    "forge a frame": ("kinesis", "put_record", {"StreamName": "{stream}", "Data": "x", "PartitionKey": "x"}),
    "delete the stream": ("kinesis", "delete_stream", {"StreamName": "{stream}"}),
    "publish a notification": ("sns", "publish", {"TopicArn": "{topic}", "Message": "x"}),
    "delete the topic": ("sns", "delete_topic", {"TopicArn": "{topic}"}),
    "purge the queue of sweep": ("sqs", "purge_queue", {"QueueUrl": "{sweep}"}),
    "queue an object for sweep": ("sqs", "send_message", {"QueueUrl": "{sweep}", "MessageBody": "x"}),
    "receive what sweep is to do": ("sqs", "receive_message", {"QueueUrl": "{sweep}"}),
    "queue a frame for sweep": ("sqs", "send_message", {"QueueUrl": "{parked}", "MessageBody": "x"}),
    "receive which frames it is to read": ("sqs", "receive_message", {"QueueUrl": "{parked}"}),
    "receive what notify is to send": ("sqs", "receive_message", {"QueueUrl": "{slack}"}),
    "read the webhook": ("secretsmanager", "get_secret_value", {"SecretId": "{secret}"}),
    "replace the webhook": ("secretsmanager", "put_secret_value", {"SecretId": "{secret}", "SecretString": "x"}),
    "read the key that seals rows": ("secretsmanager", "get_secret_value", {"SecretId": "{row_seal}"}),
    "read the key of mails": ("secretsmanager", "get_secret_value", {"SecretId": "{mail_key}"}),
    "read it in the subscription": ("sns", "get_subscription_attributes", {"SubscriptionArn": "{mail}"}),
    "read both in the configuration": ("lambda", "get_function_configuration", {"FunctionName": "{evaluate}"}),
    "read them with the code": ("lambda", "get_function", {"FunctionName": "{evaluate}"}),
    "read them in a list": ("lambda", "list_functions", {}),
    "run evaluate": ("lambda", "invoke", {"FunctionName": "{evaluate}", "Payload": "{{}}"}),
    "replace its code": ("lambda", "update_function_code", {"FunctionName": "{evaluate}", "ZipFile": "x"}),
    "delete the table": ("dynamodb", "delete_table", {"TableName": "{table}"}),
    "unlock the archive": ("s3", "delete_bucket_policy", {"Bucket": "{archive}"}),
    "delete an alarm": ("cloudwatch", "delete_alarms", {"AlarmNames": "x"}),
    "stop a schedule": ("events", "disable_rule", {"Name": "x"}),
    "change its own role": ("iam", "delete_role", {"RoleName": "x"}),
}
PUBLISHING = {"publish a notification"}
MAY_CALL = {
    "History": set[str](),
    "Evaluation/Function": PUBLISHING,
    "Sweep/Function": {*PUBLISHING, "receive what sweep is to do", "receive which frames it is to read"},
    "Digest/Function": PUBLISHING,
    "Slack/Function": {"read the webhook", "receive what notify is to send"},
    "Reconciliation/Function": set[str](),
}


def test_who_may_read_the_configuration_of_a_function_reads_its_keys(aws: LocalAws) -> None:
    places, lambdas = _places(aws), aws.client("lambda")
    name = {"FunctionName": places["evaluate"]}
    secrets = {"ROW_SEAL_KEY": places["row_seal"], "MAIL_KEY": places["mail_key"]}
    keys = {
        variable: aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
        for variable, secret in secrets.items()
    }
    for found in (
        lambdas.get_function_configuration(**name),
        lambdas.get_function(**name)["Configuration"],
        *(one for one in lambdas.list_functions()["Functions"] if one["FunctionName"] == places["evaluate"]),
    ):
        assert found["Environment"]["Variables"].items() >= keys.items()


@pytest.mark.parametrize("holder", MAY_CALL)
def test_a_role_may_call_the_other_services_that_it_needs_and_change_none(aws: LocalAws, holder: str) -> None:
    role, places = aws.physical_id(ALERTING, f"{holder}/Role"), _places(aws)

    def may(service: str, operation: str, arguments: Mapping[str, str]) -> bool:
        filled: Any = {name: value.format(**places) for name, value in arguments.items()}
        filled |= {name: [filled[name]] for name in ("AlarmNames",) if name in filled}
        try:
            getattr(aws.client(service, role), operation)(**filled)
        except ClientError as error:
            if "not listed" in str(error):
                raise AssertionError("the local AWS does not know what this call needs") from error
            return "AccessDenied" not in error.response["Error"]["Code"] and "Authorization" not in str(error)
        return True

    assert {name for name, call in CALLS.items() if may(*call)} == MAY_CALL[holder]


def _mail_subscription(aws: LocalAws) -> str:
    topic = aws.output(ALERTING, "AlertsTopicArn")
    found = aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    [arn] = [one["SubscriptionArn"] for one in found if one["Protocol"] == "email"]
    return str(arn)


def _places(aws: LocalAws) -> dict[str, str]:
    return {
        "stream": aws.output(ALERTING, "StreamName"),
        "topic": aws.output(ALERTING, "AlertsTopicArn"),
        "secret": aws.output(ALERTING, "SlackSecretArn"),
        "evaluate": aws.physical_id(ALERTING, "Evaluation/Function"),
        "row_seal": aws.physical_id(ALERTING, "Alerts/RowSeal/Key"),
        "mail_key": aws.physical_id(ALERTING, "Alerts/MailKey"),
        "mail": _mail_subscription(aws),
        "sweep": aws.physical_id(ALERTING, "Sweep/Queue/Waiting"),
        "parked": aws.physical_id(ALERTING, "Sweep/ParkedQueue/Waiting"),
        "slack": aws.physical_id(ALERTING, "Slack/Queue/Waiting"),
        "table": aws.physical_id(ALERTING, "Alerts/Table"),
        "archive": aws.output(ARCHIVE, "ArchiveBucketName"),
    }
