"""Who may do what: statements of roles, written by hand, one reason each.

`NEEDED_BY_AWS` names the statements that no call of our code ever shows, because AWS acts in the role's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Acknowledgment, Aws, Stack, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

NEEDED_BY_AWS = {
    "WriteLogs": "the Lambda runtime, and Firehose, write their logs in the role's name",
    "Trace": "Lambda's X-Ray daemon sends the segments",
    "ReadStream": "the event source mapping polls in the role's name",
    "ReceiveMessages": "the event source mapping polls in the role's name",
    "KeepDiscarded": "the event source mapping writes what it gives up",
    "FindBucket": "the event source mapping looks whether the bucket is there",
    "SeeThatItIsGone": "S3 says that an object is not there to who may list its bucket, and denies access to others",
    "DecryptFrames": "Kinesis decrypts in the role's name",
    "EncryptMessages": "SNS encrypts in the role's name",
    "EncryptObjects": "S3 encrypts in the role's name",
    "DecryptObjects": "S3 decrypts in the role's name",
    "DecryptSecret": "Secrets Manager decrypts in the role's name",
}


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], *, via: str | None = None) -> iam.PolicyStatement:
    """One statement; `via` is the one service ("s3") through which a key may be used."""
    conditions = {"StringEquals": {"kms:ViaService": f"{via}.{Aws.REGION}.amazonaws.com"}} if via else None
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)


def write_logs(group: logs.ILogGroup) -> iam.PolicyStatement:
    """To the function's own log group."""
    return allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [group.log_group_arn])


def trace() -> iam.PolicyStatement:
    """X-Ray knows no resources for these."""
    return allow("Trace", ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], ["*"])


def read_stream(stream: kinesis.Stream, key: kms.IKey) -> list[iam.PolicyStatement]:
    """What an event source mapping needs to poll a stream without enhanced fan-out."""
    read = ("DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards")
    return [
        allow("ReadStream", [f"kinesis:{action}" for action in read], [stream.stream_arn]),
        allow("DecryptFrames", ["kms:Decrypt"], [key.key_arn], via="kinesis"),
    ]


def receive_messages(queue: sqs.IQueue) -> iam.PolicyStatement:
    """What an event source mapping needs to poll a queue."""
    actions = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    return allow("ReceiveMessages", actions, [queue.queue_arn])


def keep_alerts(table: dynamodb.ITable) -> iam.PolicyStatement:
    """To store alerts and mark them sent; a transaction needs the rights of the writes in it."""
    actions = ("BatchGetItem", "BatchWriteItem", "PutItem")
    return allow("KeepAlerts", [f"dynamodb:{action}" for action in actions], [table.table_arn])


def tend_alerts(table: dynamodb.ITable, indexes: Sequence[str]) -> list[iam.PolicyStatement]:
    """To close quiet periods, and to put off what a sink refuses; both are found through indexes."""
    changes = ["dynamodb:DeleteItem", "dynamodb:UpdateItem"]
    found = [f"{table.table_arn}/index/{index}" for index in indexes]
    return [allow("TendAlerts", changes, [table.table_arn]), allow("FindAlerts", ["dynamodb:Query"], found)]


def keep_receipts(table: dynamodb.ITable) -> iam.PolicyStatement:
    """To know what a sink has had."""
    return allow("KeepReceipts", ["dynamodb:BatchGetItem", "dynamodb:PutItem"], [table.table_arn])


def publish(topic: sns.ITopic, key: kms.IKey) -> list[iam.PolicyStatement]:
    """To one encrypted topic."""
    return [
        allow("Publish", ["sns:Publish"], [topic.topic_arn]),
        allow("EncryptMessages", ["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn], via="sns"),
    ]


def read_objects(sid: str, bucket: s3.IBucket, *prefixes: str) -> iam.PolicyStatement:
    """Objects of a bucket below these prefixes, and nothing else in it."""
    return allow(sid, ["s3:GetObject"], [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes])


def write_objects(sid: str, bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """New objects below this prefix."""
    return allow(sid, ["s3:PutObject"], [bucket.arn_for_objects(f"{prefix}*")])


def encrypt_objects(key: kms.IKey) -> iam.PolicyStatement:
    """For writing to a bucket encrypted with this key."""
    return allow("EncryptObjects", ["kms:GenerateDataKey"], [key.key_arn], via="s3")


def decrypt_objects(key: kms.IKey) -> iam.PolicyStatement:
    """For reading from a bucket encrypted with this key."""
    return allow("DecryptObjects", ["kms:Decrypt"], [key.key_arn], via="s3")


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Answer one finding of cdk-nag on one construct with the control that compensates it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason))


def acknowledge_folders(construct: IConstruct, bucket: s3.IBucket, prefixes: Sequence[str], reason: str) -> None:
    """The same for rights to a bucket of another stack, folder by folder."""
    imported = Stack.of(bucket).export_value(bucket.bucket_arn)
    name = Stack.of(construct).resolve(imported)["Fn::ImportValue"]
    for prefix in prefixes:
        acknowledge(construct, f"IAM5[Resource::{name}/{prefix}*]", reason)
