"""What hosts may do, statement by statement."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_s3 as s3

from stacks.constructs.permissions import acknowledge, allow
from stacks.user_data import BundleLocation
from vaultwatch.aws import keys, metrics

HOST_TAG = "vaultwatch:host"
"""The tag of an instance that names its deployment and host. No host may set tags."""


def read_bundle(bundle: BundleLocation) -> iam.PolicyStatement:
    """Allow a host to fetch the host bundle, and no other object of the CDK's bucket."""
    return allow("ReadBundle", ["s3:GetObject"], [bundle.object_arn])


def attach_volumes(volumes: Sequence[ec2.CfnVolume], host: str) -> list[iam.PolicyStatement]:
    """Allow a host to attach its own volumes to its own instance.

    Args:
        volumes: The volumes.
        host: The value of the host's tag.
    """
    instances = allow("AttachToItself", ["ec2:AttachVolume"], [_arn("ec2", "instance/*")])
    instances.add_condition("StringEquals", {f"aws:ResourceTag/{HOST_TAG}": host})
    return [
        allow("AttachVolumes", ["ec2:AttachVolume"], [_arn("ec2", f"volume/{volume.ref}") for volume in volumes]),
        instances,
    ]


def use_disks(key: kms.IKey) -> list[iam.PolicyStatement]:
    """Allow a host to attach volumes that this key encrypts: EC2 keeps a grant while they are attached."""
    grant = allow("LendDiskKey", ["kms:CreateGrant"], [key.key_arn], via="ec2")
    grant.add_condition("Bool", {"kms:GrantIsForAWSResource": "true"})
    return [allow("DecryptDisks", ["kms:Decrypt", "kms:DescribeKey"], [key.key_arn], via="ec2"), grant]


def set_own_name(zone: route53.IHostedZone, name: str) -> iam.PolicyStatement:
    """Allow a host to set the address of its own name.

    Args:
        zone: The zone of the names.
        name: The DNS name of the host.
    """
    statement = allow("SetOwnName", ["route53:ChangeResourceRecordSets"], [zone.hosted_zone_arn])
    only = {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [name],
        "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
        "route53:ChangeResourceRecordSetsActions": ["UPSERT"],
    }
    statement.add_condition("ForAllValues:StringEquals", only)
    # Of a call that names no record, the condition above holds.
    statement.add_condition("Null", dict.fromkeys(only, "false"))
    return statement


def signal(stack: Stack) -> iam.PolicyStatement:
    """Allow a host to signal to its stack that it is ready, or has failed."""
    return allow("Signal", ["cloudformation:SignalResource"], [_arn("cloudformation", f"stack/{stack.stack_name}/*")])


def put_metrics() -> iam.PolicyStatement:
    """Allow a host to write the metrics of hosts; CloudWatch has no resource-level permissions for it."""
    statement = allow("PutMetrics", ["cloudwatch:PutMetricData"], ["*"])
    statement.add_condition("StringEquals", {"cloudwatch:namespace": metrics.NAMESPACE_OF_HOSTS})
    return statement


def request_certificate(function_arn: str) -> iam.PolicyStatement:
    """Allow a host to ask the authority for its certificate."""
    return allow("RequestCertificate", ["lambda:InvokeFunction"], [function_arn])


def ship(stream: kinesis.IStream, stream_key: kms.IKey, bucket: s3.IBucket) -> list[iam.PolicyStatement]:
    """Allow what docs/frames.md lists: to put frames on the stream, and lines too large for one into a bucket."""
    return [
        allow("PutFrames", ["kinesis:DescribeStreamSummary", "kinesis:PutRecords"], [stream.stream_arn]),
        allow("EncryptFrames", ["kms:GenerateDataKey"], [stream_key.key_arn], via="kinesis"),
        allow("WriteOversize", ["s3:PutObject"], [bucket.arn_for_objects(f"{keys.OVERSIZE}*")]),
    ]


def archive(bucket: s3.IBucket, key: kms.IKey, node: str, sources: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow a host to write segments below its own name, and neither to read nor to delete any.

    Args:
        bucket: The archive.
        key: The key that encrypts it, and the bucket of the lines that are too large for the stream.
        node: The name of the host.
        sources: What it has segments of.
    """
    own = [bucket.arn_for_objects(keys.segments_of(source, node) + "*") for source in sources]
    return [
        allow("WriteSegments", ["s3:PutObject"], own),
        allow("EncryptObjects", ["kms:GenerateDataKey"], [key.key_arn], via="s3"),
    ]


def store_snapshots(bucket: s3.IBucket, node: str) -> iam.PolicyStatement:
    """Allow a node to store snapshots below its own name; `archive` allows to use the key."""
    return allow("StoreSnapshots", ["s3:PutObject"], [bucket.arn_for_objects(keys.snapshots_of(node) + "*")])


def unseal(key: kms.IKey) -> iam.PolicyStatement:
    """Allow Vault to seal and unseal itself."""
    return allow("Unseal", ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"], [key.key_arn])


def acknowledge_host(role: iam.Role, stack: Stack) -> None:
    """Acknowledge the wildcards that every host has."""
    listing = "Sessions, their logs and metrics have no resource-level permissions; a condition limits metrics to ours."
    acknowledge(role, "IAM5[Resource::*]", listing)
    tagged = "Ids of instances are not known in advance; the condition allows only the one with the tag of this host."
    acknowledge(role, "IAM5[Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:instance/*]", tagged)
    own = "The id of a stack is not known in advance; the ARN names this one stack, and the host may only signal to it."
    name = (
        f"IAM5[Resource::arn:<AWS::Partition>:cloudformation:<AWS::Region>:<AWS::AccountId>:stack/{stack.stack_name}/*]"
    )
    acknowledge(role, name, own)


def _arn(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"
