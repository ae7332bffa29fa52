"""The permissions of all roles, statement by statement.

`NEEDED_BY_AWS` names the statements that our code never uses itself, because an AWS service uses them with the role.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Acknowledgment, Aws, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

NEEDED_BY_AWS = {
    "WriteLogs": "the Lambda runtime, and Firehose, write their logs with the role",
    "Trace": "Lambda's X-Ray daemon sends the segments",
    "ReadStream": "the event source mapping polls with the role",
    "ReceiveMessages": "the event source mapping polls with the role",
    "WriteDiscarded": "the event source mapping writes the frames that it discards",
    "FindBucket": "the event source mapping checks that the bucket exists",
    "SeeMissingObjects": "S3 reports a missing object only to a role that may list its bucket, and denies others",
    "DecryptFrames": "Kinesis decrypts with the role",
    "EncryptMessages": "SNS encrypts with the role",
    "EncryptObjects": "S3 encrypts with the role",
    "DecryptObjects": "S3 decrypts with the role",
    "DecryptSecret": "Secrets Manager decrypts with the role",
}
_READS = "Object keys are not known in advance; below this prefix the role may only read, neither write nor delete."
_WRITES = "Object keys are not known in advance; below this prefix the role may only write, and versions keep the rest."


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], *, via: str | None = None) -> iam.PolicyStatement:
    """Allow actions on resources.

    Args:
        sid: The name of the statement.
        actions: The actions, as in "s3:GetObject".
        resources: The ARNs.
        via: The one service ("s3") through which a KMS key may be used.

    Returns:
        The statement.
    """
    conditions = {"StringEquals": {"kms:ViaService": f"{via}.{Aws.REGION}.amazonaws.com"}} if via else None
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)


def write_logs(group: logs.ILogGroup) -> iam.PolicyStatement:
    """Allow a function to write to its own log group."""
    return allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [group.log_group_arn])


def write_flow_logs(group: logs.ILogGroup) -> iam.PolicyStatement:
    """Allow VPC flow logs to write to a log group."""
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return allow("WriteFlowLogs", actions, [group.log_group_arn])


def trace() -> iam.PolicyStatement:
    """Allow a function to send traces; X-Ray has no resource-level permissions for it."""
    return allow("Trace", ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], ["*"])


def read_stream(stream: kinesis.Stream, key: kms.IKey) -> list[iam.PolicyStatement]:
    """Allow an event source mapping to poll a stream without enhanced fan-out."""
    read = ("DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards")
    return [
        allow("ReadStream", [f"kinesis:{action}" for action in read], [stream.stream_arn]),
        allow("DecryptFrames", ["kms:Decrypt"], [key.key_arn], via="kinesis"),
    ]


def read_again(stream: kinesis.Stream, key: kms.IKey) -> list[iam.PolicyStatement]:
    """Allow a function to read single records of a stream again."""
    read = ["kinesis:GetRecords", "kinesis:GetShardIterator"]
    return [
        allow("ReadFramesAgain", read, [stream.stream_arn]),
        allow("DecryptFrames", ["kms:Decrypt"], [key.key_arn], via="kinesis"),
    ]


def receive_messages(*queues: sqs.IQueue) -> iam.PolicyStatement:
    """Allow event source mappings to poll queues."""
    actions = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    return allow("ReceiveMessages", actions, [queue.queue_arn for queue in queues])


def publish(topic: sns.ITopic, key: kms.IKey) -> list[iam.PolicyStatement]:
    """Allow a function to publish to one encrypted topic."""
    return [
        allow("Publish", ["sns:Publish"], [topic.topic_arn]),
        allow("EncryptMessages", ["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn], via="sns"),
    ]


def read_objects(sid: str, bucket: s3.IBucket, *prefixes: str) -> iam.PolicyStatement:
    """Allow to read the objects of a bucket below these prefixes, and nothing else in it."""
    return allow(sid, ["s3:GetObject"], [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes])


def read_versions(sid: str, bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow to read versions of objects below this prefix by their ids, which an event names."""
    return allow(sid, ["s3:GetObjectVersion"], [bucket.arn_for_objects(f"{prefix}*")])


def list_objects(sid: str, bucket: s3.IBucket, *prefixes: str) -> iam.PolicyStatement:
    """Allow to list the objects of a bucket below these prefixes, and no others."""
    statement = allow(sid, ["s3:ListBucket"], [bucket.bucket_arn])
    statement.add_condition("StringLike", {"s3:prefix": [f"{prefix}*" for prefix in prefixes]})
    return statement


def write_objects(sid: str, bucket: s3.IBucket, prefix: str) -> iam.PolicyStatement:
    """Allow to write objects below this prefix."""
    return allow(sid, ["s3:PutObject"], [bucket.arn_for_objects(f"{prefix}*")])


def encrypt_objects(key: kms.IKey) -> iam.PolicyStatement:
    """Allow to write to a bucket that this key encrypts."""
    return allow("EncryptObjects", ["kms:GenerateDataKey"], [key.key_arn], via="s3")


def decrypt_objects(key: kms.IKey) -> iam.PolicyStatement:
    """Allow to read from a bucket that this key encrypts."""
    return allow("DecryptObjects", ["kms:Decrypt"], [key.key_arn], via="s3")


def accept_sessions() -> iam.PolicyStatement:
    """Allow an instance to register with Session Manager; none of these actions has resource-level permissions."""
    channels = [f"ssmmessages:{made}{what}Channel" for made in ("Create", "Open") for what in ("Control", "Data")]
    return allow("AcceptSessions", ["ssm:UpdateInstanceInformation", *channels], ["*"])


def acknowledge_sessions(role: iam.Role) -> None:
    """Acknowledge `accept_sessions`."""
    reason = "Session Manager has no resource-level permissions for an instance; its identity limits it to its own."
    acknowledge(role, "IAM5[Resource::*]", reason)


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Acknowledge one finding of cdk-nag on one construct.

    Args:
        construct: The construct and everything in it.
        rule: The rule, without its prefix: "KDS3".
        reason: The control that compensates for it.
    """
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason))


def acknowledge_prefixes(construct: IConstruct, bucket: s3.IBucket, prefixes: Sequence[str], reason: str) -> None:
    """Acknowledge permissions on a bucket of another stack, prefix by prefix.

    Args:
        construct: The construct and everything in it.
        bucket: The bucket.
        prefixes: The prefixes below which the construct has permissions.
        reason: The control that compensates for it.
    """
    imported = Stack.of(bucket).export_value(bucket.bucket_arn)
    name = Stack.of(construct).resolve(imported)["Fn::ImportValue"]
    for prefix in prefixes:
        acknowledge(construct, f"IAM5[Resource::{name}/{prefix}*]", reason)


def acknowledge_reads(construct: IConstruct, bucket: s3.IBucket, prefixes: Sequence[str]) -> None:
    """Acknowledge that a construct may read below these prefixes of a bucket of another stack."""
    acknowledge_prefixes(construct, bucket, prefixes, _READS)


def acknowledge_writes(construct: IConstruct, bucket: s3.IBucket, prefixes: Sequence[str]) -> None:
    """Acknowledge that a construct may write below these prefixes of a bucket of another stack."""
    acknowledge_prefixes(construct, bucket, prefixes, _WRITES)
