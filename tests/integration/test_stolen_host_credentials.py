"""With the stolen credential of a host nobody can do more than that host: what each call asks for, IAM judges.

No call reaches a service: what IAM allows is answered with an error of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.aws import LocalAws
from testbed.aws.template import arn_of, role_arn
from testbed.deployment import ALERTING, ARCHIVE

VAULT, LOG_SERVER = "vaultwatch-vault", "vaultwatch-log-server"
ROLES = {"vault-1": (VAULT, "Vault1/Role"), "vault-2": (VAULT, "Vault2/Role"), "log-server": (LOG_SERVER, "Host/Role")}
ALLOWED = "Allowed"
NODES = ("vault-1", "vault-2", "vault-10", "log-server")
KEYS = {
    "Archive": (
        *(f"archive/source={it}/node={node}/x" for it in ("audit", "audit-file", "server") for node in NODES),
        *("archive/x", "seen/x", "x"),
    ),
    "Alerts": ("alerts/x", "aws/lambda/x", "oversize/x", "parked/x", "rejected/x", "rejected/swept/x", "x"),
    "Snapshots": (*(f"snapshots/node={node}/x" for node in NODES), "snapshots/x", "x"),
}
OWN = {
    "vault-1": {"archive/source=audit-file/node=vault-1/x", "snapshots/node=vault-1/x"},
    "vault-2": {"archive/source=audit-file/node=vault-2/x", "snapshots/node=vault-2/x"},
    "log-server": {
        "archive/source=audit/node=log-server/x",
        "archive/source=server/node=log-server/x",
        "oversize/x",
    },
}
NOT_LOCKED = {"oversize/x"}
"""May be replaced: `evaluate` takes what is there only with the SHA-256 that is in the frame."""
ON_OBJECTS: Mapping[str, dict[str, Any]] = {
    "get_object": {},
    "delete_object": {},
    "put_object_retention": {},
    "copy_object": {"CopySource": "any/x", "IfNoneMatch": "*"},
}
ON_VERSIONS = ("get_object", "delete_object")
ON_BUCKETS: Mapping[str, dict[str, Any]] = {
    "list_objects_v2": {"Prefix": "archive/"},
    "get_bucket_policy": {},
    "delete_bucket_policy": {},
    "put_bucket_policy": {"Policy": "{}"},
    "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Suspended"}},
    "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": []}},
}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Templates with hosts: a log server, and three nodes of Vault."""
    import app

    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
    folder = tmp_path_factory.mktemp("templates")
    somebody = {"alert_emails": ["a@example.org"], "operations_emails": ["o@example.org"], "slack": True}
    settings = {**somebody, "vault_nodes": 3}
    app.build({"aws:cdk:bundling-stacks": [], "vaultwatch": settings}, outdir=str(folder)).synth()
    suffix = ".template.json"
    return {path.name.removesuffix(suffix): json.loads(path.read_text()) for path in folder.glob(f"*{suffix}")}


@pytest.fixture(scope="module")
def aws(templates: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(templates, tmp_path_factory.mktemp("code")) as aws:
        aws.endpoint.fault = lambda call: ALLOWED if call.role.startswith(("Host", "Vault")) else ""
        yield aws
        aws.endpoint.calls.clear()  # whose refusals are what these tests are about


class Thief:
    """Makes calls with the credential of one host."""

    def __init__(self, aws: LocalAws, host: str) -> None:
        self.role = aws.physical_id(*ROLES[host])
        self._aws = aws

    def may(self, service: str, operation: str, **arguments: Any) -> bool:
        """Return whether IAM allows a call; one whose permissions the local AWS does not know is an error."""
        with pytest.raises(ClientError) as raised:
            getattr(self._aws.client(service, self.role), operation)(**arguments)
        assert "not listed" not in str(raised.value), f"{service}.{operation}"
        return raised.value.response["Error"]["Code"] == ALLOWED


@pytest.fixture
def thief(aws: LocalAws, host: str) -> Thief:
    return Thief(aws, host)


def bucket(aws: LocalAws, name: str) -> str:
    return aws.output(ARCHIVE, f"{name}BucketName")


@pytest.mark.parametrize("host", ROLES)
def test_a_host_may_put_objects_below_its_own_name_and_replace_none(aws: LocalAws, thief: Thief, host: str) -> None:
    def puts(**more: str) -> set[str]:
        places = [(bucket(aws, name), key) for name, keys in KEYS.items() for key in keys]
        made = [(thief.may("s3", "put_object", Bucket=into, Key=key, Body=b"x", **more), key) for into, key in places]
        return {key for may, key in made if may}

    assert puts(IfNoneMatch="*") == OWN[host]
    assert puts() == OWN[host] & NOT_LOCKED


@pytest.mark.parametrize("host", ROLES)
def test_it_may_read_copy_lock_and_delete_none_and_change_no_bucket(aws: LocalAws, thief: Thief, host: str) -> None:
    for name, keys in KEYS.items():
        here = bucket(aws, name)
        for key in keys:
            for operation, more in ON_OBJECTS.items():
                assert not thief.may("s3", operation, Bucket=here, Key=key, **more), (operation, key)
            for operation in ON_VERSIONS:
                assert not thief.may("s3", operation, Bucket=here, Key=key, VersionId="1"), (operation, key)
        for operation, more in ON_BUCKETS.items():
            assert not thief.may("s3", operation, Bucket=here, **more), (operation, name)


@pytest.mark.parametrize("host", ROLES)
def test_an_upload_in_parts_replaces_none_either(aws: LocalAws, thief: Thief, host: str) -> None:
    key, here = min(OWN[host]), bucket(aws, "Archive")
    parts = {"UploadId": "1", "MultipartUpload": {"Parts": []}}

    assert thief.may("s3", "create_multipart_upload", Bucket=here, Key=key)
    assert thief.may("s3", "complete_multipart_upload", Bucket=here, Key=key, IfNoneMatch="*", **parts)
    assert not thief.may("s3", "complete_multipart_upload", Bucket=here, Key=key, **parts)


@pytest.mark.parametrize("host", ROLES)
def test_it_may_write_metrics_of_hosts_only(thief: Thief, host: str) -> None:
    names = ("Vaultwatch/Hosts", "Vaultwatch", "Vaultwatch/Hosts/", "vaultwatch/hosts", "AWS/Kinesis", "AWS/Lambda")
    one: Any = [{"MetricName": "x", "Value": 1.0}]

    assert [it for it in names if thief.may("cloudwatch", "put_metric_data", Namespace=it, MetricData=one)] == [
        "Vaultwatch/Hosts"
    ]


@pytest.mark.parametrize("host", ROLES)
def test_it_may_set_the_address_of_its_own_name_and_of_no_other(aws: LocalAws, thief: Thief, host: str) -> None:
    zone = aws.physical_id("vaultwatch-network", "Names")

    def sets(name: str, action: str = "UPSERT", kind: str = "A") -> bool:
        record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        change = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        return thief.may("route53", "change_resource_record_sets", HostedZoneId=zone, ChangeBatch=change)

    names = {f"{name}.vaultwatch.internal": name for name in (*NODES, "vault", f"x.{host}")}
    assert [name for domain, name in names.items() if sets(domain)] == [host]
    assert not sets(f"{host}.vaultwatch.internal", "DELETE")
    assert not sets(f"{host}.vaultwatch.internal", kind="TXT")


ROWS: Any = {"pk": {"S": "x"}, "sk": {"S": "x"}}
FRAMES = [{"Data": "x", "PartitionKey": "x"}]
TAGS = [{"Key": "x", "Value": "x"}]
POLICY = "arn:aws:iam::aws:policy/x"
CALLS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "put frames": ("kinesis", "put_records", {"StreamName": "{stream}", "Records": FRAMES}),
    "describe the stream": ("kinesis", "describe_stream_summary", {"StreamName": "{stream}"}),
    "put frames on another stream": (
        "kinesis", "put_records", {"StreamName": "{stream}x", "Records": FRAMES}
    ),
    "put one frame": ("kinesis", "put_record", {"StreamName": "{stream}", "Data": "x", "PartitionKey": "x"}),
    "read frames": (
        "kinesis", "get_shard_iterator",
        {"StreamName": "{stream}", "ShardId": "x", "ShardIteratorType": "LATEST"},
    ),
    "delete the stream": ("kinesis", "delete_stream", {"StreamName": "{stream}"}),
    "publish a notification": ("sns", "publish", {"TopicArn": "{topic}", "Message": "x"}),
    "subscribe to notifications": ("sns", "subscribe", {"TopicArn": "{topic}", "Protocol": "email"}),
    "queue an object for sweep": ("sqs", "send_message", {"QueueUrl": "{sweep}", "MessageBody": "x"}),
    "receive what sweep is to do": ("sqs", "receive_message", {"QueueUrl": "{sweep}"}),
    "queue a frame for sweep": ("sqs", "send_message", {"QueueUrl": "{parked}", "MessageBody": "x"}),
    "receive which frames it is to read": ("sqs", "receive_message", {"QueueUrl": "{parked}"}),
    "purge the queue of sweep": ("sqs", "purge_queue", {"QueueUrl": "{sweep}"}),
    "purge the queue of notify": ("sqs", "purge_queue", {"QueueUrl": "{slack}"}),
    "read an alert": ("dynamodb", "get_item", {"TableName": "{table}", "Key": ROWS}),
    "read all alerts": ("dynamodb", "scan", {"TableName": "{table}"}),
    "write an alert": ("dynamodb", "put_item", {"TableName": "{table}", "Item": ROWS}),
    "delete an alert": ("dynamodb", "delete_item", {"TableName": "{table}", "Key": ROWS}),
    "read the webhook": ("secretsmanager", "get_secret_value", {"SecretId": "{webhook}"}),
    "replace the webhook": ("secretsmanager", "put_secret_value", {"SecretId": "{webhook}", "SecretString": "x"}),
    "read the recovery keys": ("secretsmanager", "get_secret_value", {"SecretId": "{recovery}"}),
    "replace the recovery keys": (
        "secretsmanager", "put_secret_value", {"SecretId": "{recovery}", "SecretString": "x"}
    ),
    "delete the recovery keys": ("secretsmanager", "delete_secret", {"SecretId": "{recovery}"}),
    "ask for a certificate": ("lambda", "invoke", {"FunctionName": "{sign}", "Payload": "{{}}"}),
    "run evaluate": ("lambda", "invoke", {"FunctionName": "{evaluate}", "Payload": "{{}}"}),
    "run sweep": ("lambda", "invoke", {"FunctionName": "{sweeping}", "Payload": "{{}}"}),
    "replace the code of sign": ("lambda", "update_function_code", {"FunctionName": "{sign}", "ZipFile": "x"}),
    "read the code of sign": ("lambda", "get_function", {"FunctionName": "{sign}"}),
    "read the key of rows": ("lambda", "get_function_configuration", {"FunctionName": "{evaluate}"}),
    "list the functions, and that key": ("lambda", "list_functions", {}),
    "unseal": ("kms", "decrypt", {"KeyId": "{seal_key}", "CiphertextBlob": "x"}),
    "disable the key of the seal": ("kms", "disable_key", {"KeyId": "{seal_key}"}),
    "decrypt objects of the archive": ("kms", "decrypt", {"KeyId": "{archive_key}", "CiphertextBlob": "x"}),
    "delete the key of the archive": ("kms", "schedule_key_deletion", {"KeyId": "{archive_key}"}),
    "sign with the key of the authority": (
        "kms", "sign", {"KeyId": "{authority_key}", "Message": "x", "SigningAlgorithm": "ECDSA_SHA_256"}
    ),
    "read the authority": ("ssm", "get_parameter", {"Name": "{authority}"}),
    "replace the authority": (
        "ssm", "put_parameter", {"Name": "{authority}", "Value": "x", "Type": "String"}
    ),
    "run a command on another host": ("ssm", "send_command", {"InstanceIds": ["i-1"], "DocumentName": "x"}),
    "open a session on another host": ("ssm", "start_session", {"Target": "i-1"}),
    "become the administrator": ("sts", "assume_role", {"RoleArn": "{administrator}", "RoleSessionName": "stolen"}),
    "become sign": ("sts", "assume_role", {"RoleArn": "{role_of_sign}", "RoleSessionName": "stolen"}),
    "see the administrator": ("iam", "get_role", {"RoleName": "{administrator_name}"}),
    "extend its own role": (
        "iam", "put_role_policy", {"RoleName": "{own}", "PolicyName": "x", "PolicyDocument": "{{}}"}
    ),
    "attach to its own role": ("iam", "attach_role_policy", {"RoleName": "{own}", "PolicyArn": POLICY}),
    "tag an instance as another host": ("ec2", "create_tags", {"Resources": ["i-1"], "Tags": TAGS}),
    "terminate another host": ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]}),
    "signal to its stack": (
        "cloudformation", "signal_resource",
        {"StackName": "{stack}", "LogicalResourceId": "x", "UniqueId": "x", "Status": "SUCCESS"},
    ),
    "signal to alerting": (
        "cloudformation", "signal_resource",
        {"StackName": ALERTING, "LogicalResourceId": "x", "UniqueId": "x", "Status": "FAILURE"},
    ),
    "delete its stack": ("cloudformation", "delete_stack", {"StackName": "{stack}"}),
    "delete an alarm": ("cloudwatch", "delete_alarms", {"AlarmNames": ["x"]}),
    "quieten an alarm": ("cloudwatch", "disable_alarm_actions", {"AlarmNames": ["x"]}),
    "stop a schedule": ("events", "disable_rule", {"Name": "x"}),
    "log what sessions do": (
        "logs", "put_log_events",
        {"logGroupName": "{sessions}", "logStreamName": "x", "logEvents": [{"timestamp": 1, "message": "x"}]},
    ),
    "log as a function": (
        "logs", "put_log_events",
        {"logGroupName": "/aws/lambda/x", "logStreamName": "x", "logEvents": [{"timestamp": 1, "message": "x"}]},
    ),
    "delete the log of sessions": ("logs", "delete_log_group", {"logGroupName": "{sessions}"}),
}  # fmt: skip
EVERY_HOST = {"ask for a certificate", "log what sessions do", "signal to its stack"}
NODE = {*EVERY_HOST, "see the administrator", "unseal"}
MAY_CALL = {
    "vault-1": {*NODE, "read the recovery keys", "replace the recovery keys"},
    "vault-2": NODE,
    "log-server": {*EVERY_HOST, "put frames", "describe the stream"},
}


@pytest.mark.parametrize("host", ROLES)
def test_of_other_services_it_may_call_what_it_needs_and_change_none(aws: LocalAws, thief: Thief, host: str) -> None:
    places = {**_places(aws), "own": thief.role, "stack": ROLES[host][0]}

    def filled(value: Any) -> Any:
        return value.format(**places) if isinstance(value, str) else value

    calls = {
        name: (service, to, {k: filled(v) for k, v in given.items()}) for name, (service, to, given) in CALLS.items()
    }
    assert {name for name, (service, to, given) in calls.items() if thief.may(service, to, **given)} == MAY_CALL[host]


def _places(aws: LocalAws) -> dict[str, str]:
    authority_key = aws.physical_id(LOG_SERVER, "Authority/Key")
    administrator = aws.physical_id(VAULT, "AdministratorRole")
    return {
        "stream": aws.output(ALERTING, "StreamName"),
        "topic": aws.output(ALERTING, "AlertsTopicArn"),
        "webhook": aws.output(ALERTING, "SlackSecretArn"),
        "sweep": aws.physical_id(ALERTING, "Sweep/Queue/Waiting"),
        "parked": aws.physical_id(ALERTING, "Sweep/ParkedQueue/Waiting"),
        "slack": aws.physical_id(ALERTING, "Slack/Queue/Waiting"),
        "table": aws.physical_id(ALERTING, "Alerts/Table"),
        "recovery": aws.physical_id(VAULT, "RecoveryKeys"),
        "sign": aws.physical_id(LOG_SERVER, "Authority/Function"),
        "evaluate": aws.physical_id(ALERTING, "Evaluation/Function"),
        "sweeping": aws.physical_id(ALERTING, "Sweep/Function"),
        "seal_key": arn_of("kms", aws.physical_id(VAULT, "SealKey")),
        "archive_key": arn_of("kms", aws.physical_id(ARCHIVE, "Key")),
        "authority_key": aws.client("kms").describe_key(KeyId=authority_key)["KeyMetadata"]["Arn"],
        "authority": f"/vaultwatch/vaultwatch/authority/{authority_key}",
        "administrator": role_arn(administrator),
        "administrator_name": administrator,
        "role_of_sign": role_arn(aws.physical_id(LOG_SERVER, "Authority/Function/Role")),
        "sessions": aws.physical_id(LOG_SERVER, "Sessions/Logs"),
    }
