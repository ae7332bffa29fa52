"""Who may do what on the hosts, statement by statement: adding or removing a permission changes this file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.templates import Template, as_list, of_type, statements, text

Synthesized = Callable[..., dict[str, Template]]
SESSIONS = {
    "AcceptSessions": "ssm:UpdateInstanceInformation ssmmessages:CreateControlChannel ssmmessages:CreateDataChannel "
    "ssmmessages:OpenControlChannel ssmmessages:OpenDataChannel on *",
}
ARN = "arn:<AWS::Partition>"
HERE = "<AWS::Region>:<AWS::AccountId>"


def every_host(stack: str, host: str, volumes: str, log_server: str) -> dict[str, str]:
    """What every host may do; `log_server` is how its stack refers to the stack of the log server."""
    return {
        **SESSIONS,
        "ReadBundle": f"s3:GetObject on {ARN}:s3:::cdk-hnb659fds-assets-<AWS::AccountId>-<AWS::Region>/<bundle>",
        "AttachVolumes": "ec2:AttachVolume on "
        + " ".join(f"{ARN}:ec2:{HERE}:volume/<{volume}>" for volume in volumes.split()),
        "AttachToItself": f"ec2:AttachVolume on {ARN}:ec2:{HERE}:instance/* "
        f"if aws:ResourceTag/vaultwatch:host=vaultwatch/{host}",
        "DecryptDisks": "kms:Decrypt kms:DescribeKey on <Key.Arn> if kms:ViaService=ec2.<AWS::Region>.amazonaws.com",
        "LendDiskKey": "kms:CreateGrant on <Key.Arn> "
        "if kms:GrantIsForAWSResource=true kms:ViaService=ec2.<AWS::Region>.amazonaws.com",
        "SetOwnName": f"route53:ChangeResourceRecordSets on {ARN}:route53:::hostedzone/<network:Names> "
        "if route53:ChangeResourceRecordSetsActions=UPSERT "
        f"route53:ChangeResourceRecordSetsNormalizedRecordNames={host}.vaultwatch.internal "
        "route53:ChangeResourceRecordSetsRecordTypes=A",
        "Signal": f"cloudformation:SignalResource on {ARN}:cloudformation:{HERE}:stack/vaultwatch-{stack}/*",
        "PutMetrics": "cloudwatch:PutMetricData on * if cloudwatch:namespace=Vaultwatch/Hosts",
        "RequestCertificate": f"lambda:InvokeFunction on <{log_server}AuthorityFunction.Arn>",
        "LogSessions": "logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents "
        f"on <{log_server}SessionsLogs.Arn>",
        "FindSessionLogs": "logs:DescribeLogGroups on *",
        "WriteSegments": "s3:PutObject on "
        + " ".join(
            f"<archive:Archive.Arn>/archive/source={source}/node={host}/*"
            for source in (("audit", "server") if host == "log-server" else ("audit-file",))
        ),
        "EncryptObjects": "kms:GenerateDataKey on <archive:Key.Arn> if kms:ViaService=s3.<AWS::Region>.amazonaws.com",
    }


ALLOWED = {
    "HostRole": {
        **every_host("log-server", "log-server", "HostData HostLog", ""),
        "PutFrames": "kinesis:DescribeStreamSummary kinesis:PutRecords on <alerting:Stream.Arn>",
        "EncryptFrames": "kms:GenerateDataKey on <alerting:Key.Arn> "
        "if kms:ViaService=kinesis.<AWS::Region>.amazonaws.com",
        "WriteOversize": "s3:PutObject on <archive:Alerts.Arn>/oversize/*",
    },
    "Vault1Role": {
        **every_host("vault", "vault-1", "Vault1Audit Vault1Data", "log-server:"),
        "StoreSnapshots": "s3:PutObject on <archive:Snapshots.Arn>/snapshots/node=vault-1/*",
        "Unseal": "kms:Decrypt kms:DescribeKey kms:Encrypt on <SealKey.Arn>",
        "ResolveAdministrator": "iam:GetRole on <AdministratorRole.Arn>",
        "KeepRecoveryKeys": "secretsmanager:GetSecretValue secretsmanager:PutSecretValue "
        "on <RecoveryKeys> <RecoveryPassword>",
        "MarkCompleted": "secretsmanager:DescribeSecret secretsmanager:TagResource on <RecoveryKeys>",
        "UseSecrets": "kms:Decrypt kms:GenerateDataKey on <Key.Arn> "
        "if kms:ViaService=secretsmanager.<AWS::Region>.amazonaws.com",
    },
    "AdministratorRole": {
        "ReadSecrets": "secretsmanager:GetSecretValue on <RecoveryKeys> <RecoveryPassword>",
        "DecryptSecret": "kms:Decrypt on <Key.Arn> if kms:ViaService=secretsmanager.<AWS::Region>.amazonaws.com",
    },
    "NetworkNatInstanceRole": SESSIONS,
}
ROLES = {
    "HostRole": "log-server",
    "Vault1Role": "vault",
    "AdministratorRole": "vault",
    "NetworkNatInstanceRole": "network",
}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_allows_exactly_these_statements(templates: dict[str, Template], name: str) -> None:
    [role] = [it for found, it in of_type(templates[ROLES[name]], "IAM::Role").items() if found.startswith(name)]

    assert {statement["Sid"]: line(statement) for statement in statements(role)} == ALLOWED[name]


def test_a_node_that_does_not_bootstrap_the_cluster_cannot_read_the_recovery_keys(synthesized: Synthesized) -> None:
    vault = synthesized(vault_nodes=3)["vault"]
    [role] = [it for found, it in of_type(vault, "IAM::Role").items() if found.startswith("Vault2Role")]

    assert not {statement["Sid"] for statement in statements(role)} & {
        "KeepRecoveryKeys",
        "MarkCompleted",
        "UseSecrets",
    }


def test_there_are_no_other_roles_of_hosts(templates: dict[str, Template]) -> None:
    found = {
        name[:-8]
        for stack in ("log-server", "network", "vault")
        for name in of_type(templates[stack], "IAM::Role")
        if not name.startswith(("AuthorityFunction", "CustomVpcRestrictDefaultSG", "NetworkFlowLogs"))
    }

    assert found == set(ROLES)


def line(statement: dict[str, Any]) -> str:
    """`service:Action Action on resource resource if key=value value`."""
    assert statement["Effect"] == "Allow"
    said = f"{' '.join(as_list(statement['Action']))} on {' '.join(text(it) for it in as_list(statement['Resource']))}"
    said = re.sub(r"/[0-9a-f]{64}\.\w+", "/<bundle>", said)
    conditions = {
        f"{key}={' '.join(text(it) for it in as_list(value))}"
        for operator, given in statement.get("Condition", {}).items()
        for key, value in given.items()
        if operator != "Null"
    }
    return f"{said} if {' '.join(sorted(conditions))}" if conditions else said
