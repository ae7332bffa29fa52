"""The hosts: who may talk to whom, what is encrypted, what survives a replacement, and the user data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from stacks.user_data import MAX_BYTES
from tests.support.templates import Template, as_list, of_type, properties, statements, text
from vaultwatch.hosts.files import host_files

Synthesized = Callable[..., dict[str, Template]]
HOSTS = {"log-server": ("log-server", "Host"), "vault-1": ("vault", "Vault1")}


def user_data(template: Template, begins: str) -> str:
    """The user data of a host, with what CloudFormation fills in as `<...>`."""
    found = properties(template, "EC2::LaunchTemplate", begins)["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    return text(found)


def values_of(template: Template, begins: str) -> dict[str, str]:
    """The values of host.json, each token replaced by something that fits."""
    found = re.search(r"<<'VALUES'\n(.*?)\nVALUES\n", user_data(template, begins), re.DOTALL)
    assert found is not None
    values: dict[str, str] = json.loads(found[1])
    return values


@pytest.mark.parametrize("host", HOSTS)
def test_user_data_has_the_values_that_the_files_of_the_host_need(templates: dict[str, Template], host: str) -> None:
    stack, begins = HOSTS[host]
    values = values_of(templates[stack], begins)

    resolved = {name: RESOLVED.get(name, value) for name, value in values.items()}
    assert host_files(resolved)
    assert values["name"] == host


RESOLVED = {
    "region": "eu-central-1",
    "volumes": "vol-0123456789abcdef0=/var/lib/vault",
    "sign_function": "arn:aws:lambda:eu-central-1:123456789012:function:sign",
    "archive_bucket": "archive",
    "zone_id": "Z0123456789ABCDEFGHIJ",
    "stream": "stream",
    "oversize_bucket": "alerts",
    "kms_seal_key": "arn:aws:kms:eu-central-1:123456789012:key/1",
    "snapshot_bucket": "snapshots",
    "recovery_secret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a",
    "administrator_secret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:b",
    "administrators": "arn:aws:iam::123456789012:role/vaultwatch-eu-central-1-administrator",
}
"""What CloudFormation fills in."""


@pytest.mark.parametrize("host", HOSTS)
def test_user_data_is_far_below_the_limit_and_contains_no_secret(templates: dict[str, Template], host: str) -> None:
    stack, begins = HOSTS[host]
    script = user_data(templates[stack], begins)

    assert len(script) < MAX_BYTES / 2
    assert "{{" not in script
    assert not re.search(r"AKIA|ASIA|aws_secret|BEGIN|hvs\.", script)
    assert re.search(r'"[0-9a-f]{64}  \$bundle"', script)


@pytest.mark.parametrize(
    ("stack", "volumes"), [("log-server", {"HostData", "HostLog"}), ("vault", {"Vault1Data", "Vault1Audit"})]
)
def test_volumes_are_encrypted_outlive_their_host_and_are_in_its_zone(
    templates: dict[str, Template], stack: str, volumes: set[str]
) -> None:
    found = {name[:-8]: it for name, it in of_type(templates[stack], "EC2::Volume").items()}

    assert set(found) == volumes
    for volume in found.values():
        assert (volume["DeletionPolicy"], volume["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert volume["Properties"]["Encrypted"] is True
        assert text(volume["Properties"]["KmsKeyId"]) == "<Key.Arn>"
        # The zone that the subnet is in, not the one that it asked for, which could change.
        assert re.fullmatch(
            r"<network:\w+Subnet1SubnetE1DDD1D0\.AvailabilityZone>|<network:.*Availability.*>",
            text(volume["Properties"]["AvailabilityZone"]),
        )


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_replaced_after_the_old_one_has_ended_and_has_to_signal(
    templates: dict[str, Template], host: str
) -> None:
    stack, begins = HOSTS[host]
    [group] = [
        it for name, it in of_type(templates[stack], "AutoScaling::AutoScalingGroup").items() if name.startswith(begins)
    ]

    rolling = group["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (group["Properties"]["MinSize"], group["Properties"]["MaxSize"]) == ("1", "1")
    assert (rolling["MinInstancesInService"], rolling["MaxBatchSize"], rolling["WaitOnResourceSignals"]) == (0, 1, True)
    assert group["CreationPolicy"] == {"ResourceSignal": {"Count": 1, "Timeout": rolling["PauseTime"]}}


@pytest.mark.parametrize("host", HOSTS)
def test_an_instance_has_no_key_pair_no_public_address_and_needs_a_token_for_its_metadata(
    templates: dict[str, Template], host: str
) -> None:
    stack, begins = HOSTS[host]
    data = properties(templates[stack], "EC2::LaunchTemplate", begins)["LaunchTemplateData"]

    assert "KeyName" not in data
    assert (data["MetadataOptions"]["HttpTokens"], data["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        1,
    )
    [interface] = data["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"] is False
    [root] = data["BlockDeviceMappings"]
    assert (root["Ebs"]["Encrypted"], text(root["Ebs"]["KmsKeyId"])) == (True, "<Key.Arn>")
    assert data["ImageId"] == (
        "{{resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/20260923/arm64/hvm/ebs-gp3/ami-id}}"
    )


def test_types_and_sizes_change_by_settings_without_another_volume(
    templates: dict[str, Template], synthesized: Synthesized
) -> None:
    larger = synthesized(
        log_server_gib=500,
        log_server_buffer_gib=20,
        vault_data_gib=200,
        vault_audit_gib=90,
        log_server_instance_type="m7g.large",
        vault_instance_type="r7g.xlarge",
    )

    for stack in ("log-server", "vault"):
        before, after = (of_type(found[stack], "EC2::Volume") for found in (templates, larger))
        assert before.keys() == after.keys()
        for name in before:
            changed = {
                key
                for key in after[name]["Properties"]
                if after[name]["Properties"][key] != before[name]["Properties"][key]
            }
            assert changed == {"Size"}  # CloudFormation changes it in place


def rules(templates: dict[str, Template]) -> set[tuple[str, str, str, str]]:
    """Who may connect to whom: direction, group, port and peer."""
    found = set()
    for stack, template in templates.items():
        for name, group in of_type(template, "EC2::SecurityGroup").items():
            own = f"{stack}:{name[:-8]}"
            for direction in ("Ingress", "Egress"):
                for rule in group["Properties"].get(f"SecurityGroup{direction}", ()):
                    found.add((direction, own, ports(rule), peer(stack, rule)))
        for direction in ("Ingress", "Egress"):
            for rule in of_type(template, f"EC2::SecurityGroup{direction}").values():
                found.add(
                    (
                        direction,
                        group_of(stack, rule["Properties"]["GroupId"]),
                        ports(rule["Properties"]),
                        peer(stack, rule["Properties"]),
                    )
                )
    return found


def ports(rule: dict[str, Any]) -> str:
    first, last = rule.get("FromPort"), rule.get("ToPort")
    return f"{rule['IpProtocol']}/{first}" if first == last else f"{rule['IpProtocol']}/{first}-{last}"


def peer(stack: str, rule: dict[str, Any]) -> str:
    if "CidrIp" in rule:
        return text(rule["CidrIp"])
    if "DestinationPrefixListId" in rule:
        return text(rule["DestinationPrefixListId"])
    return group_of(stack, rule.get("SourceSecurityGroupId") or rule["DestinationSecurityGroupId"])


def group_of(stack: str, reference: Any) -> str:
    found = re.fullmatch(r"<(?:(?P<other>[\w-]+):)?(?P<name>\w+?)\.?GroupId>", text(reference))
    assert found is not None, text(reference)
    return f"{found['other'] or stack}:{found['name']}"


def test_who_may_connect_to_whom(templates: dict[str, Template]) -> None:
    https = "tcp/443"
    assert rules(templates) == {
        ("Ingress", "network:NetworkNatInstanceGroup", https, "10.90.0.0/20"),
        ("Egress", "network:NetworkNatInstanceGroup", https, "0.0.0.0/0"),
        ("Ingress", "network:NetworkEndpointsGroup", https, "10.90.0.0/20"),
        ("Egress", "network:NetworkEndpointsGroup", "icmp/252-86", "255.255.255.255/32"),  # nothing, as the CDK says it
        ("Egress", "log-server:Group", https, "0.0.0.0/0"),
        ("Egress", "log-server:Group", https, "network:NetworkEndpointsGroup"),
        ("Ingress", "log-server:Group", "tcp/1514-1516", "vault:Group"),
        ("Egress", "vault:Group", "tcp/1514-1516", "log-server:Group"),
        ("Egress", "vault:Group", https, "0.0.0.0/0"),
        ("Egress", "vault:Group", https, "network:NetworkEndpointsGroup"),
        ("Ingress", "vault:AddressGroup", "tcp/8200", "10.90.0.0/20"),
        ("Egress", "vault:AddressGroup", "tcp/8200", "vault:Group"),
        ("Ingress", "vault:Group", "tcp/8200", "vault:AddressGroup"),
        *(
            (direction, "vault:Group", f"tcp/{port}", "vault:Group")
            for direction in ("Ingress", "Egress")
            for port in (8200, 8201)
        ),
    }


def test_settings_narrow_to_what_hosts_may_connect(synthesized: Synthesized) -> None:
    found = rules(synthesized(egress_ranges=["10.2.0.0/16"], egress_prefix_lists=["pl-6ea54007"]))

    https = {(group, to) for direction, group, port, to in found if (direction, port) == ("Egress", "tcp/443")}
    assert https == {
        ("network:NetworkNatInstanceGroup", "10.2.0.0/16"),
        *(
            (group, to)
            for group in ("log-server:Group", "vault:Group")
            for to in ("10.2.0.0/16", "pl-6ea54007", "network:NetworkEndpointsGroup")
        ),
    }


def test_nobody_connects_by_ssh_and_no_private_subnet_routes_to_the_internet_gateway(
    templates: dict[str, Template],
) -> None:
    assert not any(rule[2].endswith("/22") for rule in rules(templates))
    routes = of_type(templates["network"], "EC2::Route")
    to_gateway = {name for name, it in routes.items() if "GatewayId" in it["Properties"]}
    assert all(name.startswith("NetworkVpcOutSubnet") for name in to_gateway)


def test_the_load_balancer_is_internal_passes_tls_through_and_asks_vault_for_its_health(
    templates: dict[str, Template],
) -> None:
    balancer = properties(templates["vault"], "ElasticLoadBalancingV2::LoadBalancer")
    targets = properties(templates["vault"], "ElasticLoadBalancingV2::TargetGroup")
    listener = properties(templates["vault"], "ElasticLoadBalancingV2::Listener")

    assert (balancer["Scheme"], balancer["Type"]) == ("internal", "network")
    assert {"Key": "deletion_protection.enabled", "Value": "true"} in balancer["LoadBalancerAttributes"]
    assert (listener["Protocol"], listener["Port"]) == ("TCP", 8200)
    assert (targets["Protocol"], targets["HealthCheckProtocol"], targets["Matcher"]) == (
        "TCP",
        "HTTPS",
        {"HttpCode": "200"},
    )
    assert targets["HealthCheckPath"] == "/v1/sys/health?standbyok=true&perfstandbyok=true"
    assert {"Key": "preserve_client_ip.enabled", "Value": "true"} in targets["TargetGroupAttributes"]


def test_the_seal_key_rotates_stays_and_has_an_alarm_on_whoever_ends_it(templates: dict[str, Template]) -> None:
    vault = templates["vault"]
    [key] = [it for name, it in of_type(vault, "KMS::Key").items() if name.startswith("SealKey")]
    rule = properties(vault, "Events::Rule", "SealKeyEnds")

    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert (key["Properties"]["EnableKeyRotation"], key["Properties"]["PendingWindowInDays"]) == (True, 30)
    assert {"DisableKey", "ScheduleKeyDeletion"} <= set(rule["EventPattern"]["detail"]["eventName"])
    assert rule["State"] == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    alarm = properties(vault, "CloudWatch::Alarm", "AlarmsSealKeyEnds")
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 0)


def test_whoever_reads_the_recovery_keys_raises_an_alarm_and_the_nodes_do_too(templates: dict[str, Template]) -> None:
    detail = properties(templates["vault"], "Events::Rule", "RecoveryReads")["EventPattern"]["detail"]

    assert "GetSecretValue" in detail["eventName"]
    assert "userIdentity" not in detail
    assert [name_pattern(it) for it in detail["requestParameters"]["secretId"]] == ["RecoveryKeys", "RecoveryPassword"]
    # A refused attempt counts; the question for keys that do not exist yet, of a new cluster, does not.
    assert detail["errorCode"] == [{"exists": False}, {"anything-but": "ResourceNotFoundException"}]


def name_pattern(found: dict[str, Any]) -> str:
    """Check a pattern against each way to write a secret whose ARN is known, and return which secret it is of."""
    [secret] = set(re.findall(r'"Ref": "(\w+)"', json.dumps(found)))
    name = "RecoveryKeys6E4D3E8F-pn8YrqTqQCv1"
    arn = f"arn:aws:secretsmanager:eu-central-1:111122223333:secret:{name}-Xb3Ajd"

    def resolved(value: Any) -> Any:
        match value:
            case {"Ref": str()}:
                return arn
            case {"Fn::Split": [separator, of]}:
                return resolved(of).split(separator)
            case {"Fn::Select": [place, of]}:
                return resolved(of)[int(place)]
            case {"Fn::Join": [separator, parts]}:
                return separator.join(map(resolved, parts))
        return value

    pattern = resolved(found["wildcard"])
    for written in (name, arn, arn[:-7]):
        assert fnmatchcase(written, pattern)
    assert not fnmatchcase("another-secret", pattern)
    return re.sub(r"[0-9A-F]{8}$", "", secret)


def test_three_nodes_are_in_three_zones_and_are_replaced_one_after_the_other(synthesized: Synthesized) -> None:
    vault = synthesized(vault_nodes=3)["vault"]

    groups = {name[:6]: it for name, it in of_type(vault, "AutoScaling::AutoScalingGroup").items()}
    assert set(groups) == {"Vault1", "Vault2", "Vault3"}
    assert len({text(it["Properties"]["VPCZoneIdentifier"][0]) for it in groups.values()}) == 3
    for before, after in (("Vault1", "Vault2"), ("Vault2", "Vault3")):
        assert any(it.startswith(f"{before}Group") for it in as_list(groups[after]["DependsOn"]))
    assert values_of(vault, "Vault3")["nodes"].split(",") == [f"vault-{n}.vaultwatch.internal" for n in (1, 2, 3)]


def test_a_second_deployment_of_other_nodes_keeps_the_volumes_of_the_first(
    templates: dict[str, Template], synthesized: Synthesized
) -> None:
    one, five = (of_type(found["vault"], "EC2::Volume") for found in (templates, synthesized(vault_nodes=5)))

    assert one.items() <= five.items()
    assert len(five) == 10


def test_an_existing_vpc_is_used_as_it_is(synthesized: Synthesized) -> None:
    subnets = {"eu-central-1a": "subnet-0123456789abcdef0", "eu-central-1b": "subnet-0123456789abcdef1"}
    found = synthesized(vpc_id="vpc-0123456789abcdef0", vpc_subnets=subnets, vault_clients=["10.0.0.0/8"])

    assert {it["Type"] for it in found["network"]["Resources"].values()} == {"AWS::Route53::HostedZone"}
    group = properties(found["vault"], "AutoScaling::AutoScalingGroup")
    assert group["VPCZoneIdentifier"] == ["subnet-0123456789abcdef0"]
    zones = {it["Properties"]["AvailabilityZone"] for it in of_type(found["vault"], "EC2::Volume").values()}
    assert zones == {"eu-central-1a"}


def test_with_external_nodes_the_log_server_lets_their_addresses_in_and_certifies_their_roles(
    synthesized: Synthesized,
) -> None:
    found = synthesized(
        vault="external",
        external_nodes={"old-vault": "OldVault", "oldvault": "Other"},
        external_clients=["10.1.0.0/16"],
    )

    assert "vault" not in found
    assert ("Ingress", "log-server:Group", "tcp/1514-1516", "10.1.0.0/16") in rules(found)
    hosts = properties(found["log-server"], "Lambda::Function", "Authority")["Environment"]["Variables"]["HOSTS"]
    assert (
        '"OldVault":{"name":"old-vault","dns":["old-vault.vaultwatch.internal"],"usage":["client"],"instance":false}'
        in text(hosts)
    )


def test_openbao_gets_its_own_release(synthesized: Synthesized) -> None:
    values = values_of(synthesized(vault="openbao")["vault"], "Vault1")

    assert (values["product"], values["server_version"]) == ("openbao", "2.6.2")
    assert values["server_sha256"].startswith("1b408e01")


def test_a_deployment_without_hosts_has_no_network(synthesized: Synthesized) -> None:
    assert set(synthesized(vault="external", log_server="external")) == {"alerting", "archive"}


def test_endpoints_let_nothing_out_of_the_account(templates: dict[str, Template]) -> None:
    for name, endpoint in of_type(templates["network"], "EC2::VPCEndpoint").items():
        first, *more = endpoint["Properties"]["PolicyDocument"]["Statement"]
        assert first["Condition"]["StringEquals"] == {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
        assert first["Condition"]["StringEqualsIfExists"] == {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}
        assert [it["Action"] for it in more] == (["sts:GetCallerIdentity"] if "Sts" in name else [])


def test_a_host_writes_segments_below_its_own_name_only_and_reads_and_deletes_nothing(
    templates: dict[str, Template],
) -> None:
    for host, (stack, begins) in HOSTS.items():
        [role] = [it for name, it in of_type(templates[stack], "IAM::Role").items() if name.startswith(f"{begins}Role")]
        found = [it for it in statements(role) if any(a.startswith("s3:") for a in as_list(it["Action"]))]
        actions = {action for it in found for action in as_list(it["Action"]) if it["Sid"] != "ReadBundle"}
        assert actions == {"s3:PutObject"}
        below = {
            text(arn).partition(">/")[2]
            for it in found
            if it["Sid"] == "WriteSegments"
            for arn in as_list(it["Resource"])
        }
        sources = ("audit", "server") if host == "log-server" else ("audit-file",)
        assert below == {f"archive/source={source}/node={host}/*" for source in sources}


def test_the_recovery_keys_outlive_the_stack_and_have_a_key_of_ours(templates: dict[str, Template]) -> None:
    secrets = of_type(templates["vault"], "SecretsManager::Secret")

    assert {name[:-8] for name in secrets} == {"RecoveryKeys", "RecoveryPassword"}
    for secret in secrets.values():
        assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert text(secret["Properties"]["KmsKeyId"]) == "<Key.Arn>"


def test_only_the_first_node_and_administrators_may_read_or_replace_the_recovery_keys(synthesized: Synthesized) -> None:
    vault = synthesized(vault_nodes=3)["vault"]
    policies = of_type(vault, "SecretsManager::ResourcePolicy").values()

    assert {text(it["Properties"]["SecretId"]) for it in policies} == {"<RecoveryKeys>", "<RecoveryPassword>"}
    for policy in policies:
        assert policy["Properties"]["BlockPublicPolicy"] is True
        [statement] = policy["Properties"]["ResourcePolicy"]["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"})
        assert {"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"} < set(statement["Action"])
        assert [text(arn) for arn in statement["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]] == [
            f"arn:<AWS::Partition>:iam::<AWS::AccountId>:role/vaultwatch-<AWS::Region>-{name}"
            for name in ("vault-1", "administrator")
        ]


SESSION = r"aws ssm start-session --document-name session-vaultwatch-hosts --target \$\(aws ec2 describe-instances .*\)"
COMMANDS = {
    "SetSlackWebhook": "aws secretsmanager put-secret-value --secret-string file://webhook --secret-id <SlackSecret>",
    "LogServerSession": SESSION,
    "Vault1Session": SESSION,
    "ShowLogs": "sudo tail -F /var/log/vault/audit /var/log/vault/messages",
    "RecoveryKeys": "aws secretsmanager get-secret-value --secret-id <RecoveryKeys> --query SecretString --output text",
}
NAMES = {
    "AdministratorRole": "<AdministratorRole.Arn>",
    "AlertsBucketName": "<Alerts>",
    "AlertsTopicArn": "<AlertsTopic>",
    "SnapshotsBucketName": "<Snapshots>",
    "ArchiveBucketName": "<Archive>",
    "LogServerName": "log-server.vaultwatch.internal",
    "SlackSecretArn": "<SlackSecret>",
    "StreamName": "<Stream>",
    "VaultAddress": "https://vault.vaultwatch.internal:8200",
}


def test_the_outputs_name_what_was_deployed_and_are_commands_to_use_it(templates: dict[str, Template]) -> None:
    found = {
        name: it
        for template in templates.values()
        for name, it in template.get("Outputs", {}).items()
        if not name.startswith("Exports")
    }

    assert found.keys() == COMMANDS.keys() | NAMES.keys()
    assert all(len(it["Description"]) > 15 for it in found.values())
    for name, pattern in COMMANDS.items():
        assert re.fullmatch(pattern, text(found[name]["Value"])), name
    assert {name: text(found[name]["Value"]) for name in NAMES} == NAMES


def test_where_openbao_has_no_login_by_iam_an_output_prints_the_password(synthesized: Synthesized) -> None:
    outputs = synthesized(vault="openbao")["vault"]["Outputs"]

    assert "--secret-id <RecoveryPassword> --query SecretString" in text(outputs["AdministratorPassword"]["Value"])
