"""Whatever somebody does with the stolen credential of a function: an act is notified once, at once and unaltered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.deployment import ALERTING, Deployment, deploy
from testbed.recorded import tagged
from vaultwatch.notify.sns import MAIL_KEY
from vaultwatch.store.dynamodb import schema

BEGINS = tagged("vault-1.14.2", "audit")[7][2:4]  # a root generation
SHARD = "shardId-000000000000"
ROWS = (
    "added",
    "alert",
    "count",
    "due",
    "expected",
    "family",
    "group",
    "limit",
    "live",
    "notification",
    "rule",
    "seen",
    "sent#slack",
    "thread#slack",
)
OBJECTS = (
    "parked/{shard}-1.frame",
    "parked/dt=2026-11-21/{shard}-{number}.frame",
    "parked/dt=2026-11-22/{shard}-{number}.frame",
    "parked/dt=2026-11-21/{shard}-{after}.frame",
    "parked/dt=2026-11-21/shardId-999999999999-{number}.frame",
    "parked/\n../%00\u2028",
    "aws/lambda/x",
    "rejected/dt=2026-11-21/x.jsonl",
    "rejected/alerts/x",
    "rejected/swept/x",
)
REPORTS = (
    b"\xff",
    b"[" * 100_000,
    b'{"KinesisBatchInfo":{"shardId":"","startSequenceNumber":"","endSequenceNumber":""}}',
    b'{"KinesisBatchInfo":{"shardId":"%s","startSequenceNumber":"-1","endSequenceNumber":"%s"}}'
    % (SHARD.encode(), b"9" * 10_000),
)


class Thief:
    """Makes every call that a role may make, with arguments that nobody expects."""

    def __init__(self, deployment: Deployment, function: str) -> None:
        self._aws = deployment.aws
        self._role = self._aws.physical_id(ALERTING, f"{function}/Function/Role")
        self._deployment = deployment
        self._random = Random(function)  # the same in each run
        self.done = set[str]()

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Make a call, and note it if the role may make it."""
        try:
            answer = getattr(self._aws.client(service, self._role), operation)(**arguments)
        except ClientError as error:
            if "AccessDenied" not in str(error) and "Authorization" not in str(error):
                self.done.add(operation)
            return {}
        self.done.add(operation)
        return answer

    def everything(self) -> None:
        """Make all calls."""
        for step in (self._read, self._rows, self._objects, self._publish, self._history, self._queues, self._secrets):
            step()

    def _read(self) -> None:
        about = {"StreamName": self._deployment.stream_name}
        stream = self._aws.client("kinesis").describe_stream_summary(**about)["StreamDescriptionSummary"]["StreamARN"]
        start = {"ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
        found = self.call("kinesis", "get_shard_iterator", StreamARN=stream, **start).get("ShardIterator", "x")
        records = self.call("kinesis", "get_records", StreamARN=stream, ShardIterator=found)
        self.number = max((one["SequenceNumber"] for one in records.get("Records", ())), default="7")

    def _rows(self) -> None:
        table = self._aws.physical_id(ALERTING, "Alerts/Table")
        for beginning in ROWS:
            for sort in ("window", "~"):
                key = {"pk": {"S": f"{beginning}#{self._random.randbytes(16).hex()}"}, "sk": {"S": sort}}
                for row in self._contents():
                    self.call("dynamodb", "put_item", TableName=table, Item={**key, **row})
                self.call(
                    "dynamodb",
                    "update_item",
                    TableName=table,
                    Key=key,
                    UpdateExpression="ADD elements :more",
                    ExpressionAttributeValues={":more": {"BS": [b"12345678"]}},
                )

    def _contents(self) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"body": {"B": b"settled"}, schema.SEAL: {"B": b"0" * 16}, schema.EXPIRES_AT: {"N": "9e120"}}
        yield {"body": {"S": "[" * 50_000}, schema.DUE_AT: {"N": "-9e120"}, schema.EXPIRES_AT: {"S": "never"}}

    def _objects(self) -> None:
        names = {"shard": SHARD, "number": self.number, "after": int(self.number) + 10**9}
        for bucket in ("Alerts", "Archive"):
            for key in (*OBJECTS, "alerts/x", "seen/x", "archive/source=audit/node=vault-1/x", "oversize/x"):
                for body in REPORTS:
                    where = {"Bucket": self._deployment.bucket(bucket), "Key": key.format(**names)}
                    self.call("s3", "put_object", **where, Body=body)
                    self.call("s3", "put_object", **where, Body=body, IfNoneMatch="*")

    def _publish(self) -> None:
        topic = self._aws.physical_id(ALERTING, "Alerts/Topic")
        people = {"disposition": "first", "level": "critical"}
        for message in ("x", "{}", "[" * 50_000, json.dumps({"default": "x", "email": "x", "sqs": '{"seal":"x"}'})):
            for key in ({}, {MAIL_KEY: "x" * 64}, {MAIL_KEY: '["' + "x" * 64 + '"]'}):
                for kind in ("String", "String.Array"):
                    given = {**people, **key}
                    named = {name: {"DataType": "String", "StringValue": value} for name, value in given.items()}
                    if key:
                        named[MAIL_KEY]["DataType"] = kind
                    structure = {"MessageStructure": "json"} if message.startswith('{"default') else {}
                    self.call("sns", "publish", TopicArn=topic, Message=message, MessageAttributes=named, **structure)

    def _history(self) -> None:
        stream = self._aws.physical_id(ALERTING, "History/Delivery")
        for data in (b"x", b"\n" * 100_000, b'{"Message":"{}"}\n'):
            self.call("firehose", "put_record_batch", DeliveryStreamName=stream, Records=[{"Data": data}])

    def _queues(self) -> None:
        for queue in ("Sweep/Queue", "Sweep/ParkedQueue", "Slack/Queue", "Slack/OtherQueue", "Reconciliation/Queue"):
            url = self._aws.physical_id(ALERTING, f"{queue}/Waiting")
            found = self.call("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10)
            for one in found.get("Messages", ()):
                handle = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
                self.call("sqs", "change_message_visibility", **handle, VisibilityTimeout=0)

    def _secrets(self) -> None:
        self.call("secretsmanager", "get_secret_value", SecretId=self._aws.output(ALERTING, "SlackSecretArn"))


STORES = {"put_item", "publish", "put_record_batch"}
READS_AGAIN = {"get_shard_iterator", "get_records"}
DONE = {
    "Evaluation": {*STORES, *READS_AGAIN, "update_item", "put_object"},
    "Sweep": {*STORES, *READS_AGAIN, "update_item", "put_object", "receive_message"},
    "Digest": STORES,
    "Slack": {"put_item", "receive_message", "get_secret_value"},
    "Reconciliation": {"receive_message"},
}


@pytest.mark.parametrize("function", DONE)
def test_an_act_is_notified_once_at_once_and_unaltered(
    deployed_templates: dict[str, Any], bundle: Path, function: str
) -> None:
    with deploy(deployed_templates, bundle) as deployment:
        thief = Thief(deployment, function)
        deployment.ship([])
        deployment.aws.run_until_idle()
        thief.everything()
        assert thief.done == DONE[function]
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        thief.everything()
        deployment.aws.run_until_idle()
        _check(deployment)
        deployment.aws.tick(3600, timeout=300)
        _check(deployment)
        calls = deployment.aws.endpoint.calls
        calls[:] = [call for call in calls if call.environment]  # without those of the thief, of which many are refused


def _check(deployment: Deployment) -> None:
    assert deployment.slack.accepted == 1
    [mail] = deployment.aws.mails
    assert "started generating a root token" in mail.text
    [alert] = deployment.alerts()
    assert not alert.late
