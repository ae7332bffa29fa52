"""Stack `log_server`: the host that gathers, evaluates or forwards, and archives the logs of all nodes."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.alerting import AlertingStack
from stacks.archive import ArchiveStack
from stacks.bundling import WITH_CERTIFICATES
from stacks.constructs import host_permissions, permissions
from stacks.constructs.alarms import Alarms
from stacks.constructs.authority import Authority
from stacks.constructs.function import FunctionDefaults, function_code
from stacks.constructs.host import Disk, Host, HostDefaults, HostKind, role_name
from stacks.constructs.host_bundle import bundle_location
from stacks.constructs.host_key import HostKey
from stacks.constructs.sessions import Sessions
from stacks.network import NetworkStack
from vaultwatch.authority.names import Host as Certified
from vaultwatch.authority.names import Usage
from vaultwatch.aws import keys
from vaultwatch.host_settings import API, LOG_SERVER
from vaultwatch.settings import Settings

PORTS = ec2.Port.tcp_range(1514, 1516)
"""The server log, and both lanes of the audit log."""
GIB = 1024**3


class LogServerStack(Stack):
    """The log server. Its volumes and its name outlive each of its instances.

    Args:
        scope: The app.
        construct_id: The name of the stack.
        settings: The settings of the deployment.
        network: The stack of its network.
        archive: The stack that holds the archive.
        alerting: The stack that holds the stream.
        kwargs: Further arguments of `Stack`.

    Attributes:
        group: Its security group, which lets nobody in by itself.
        dns_name: Its private name.
        bundle: The host bundle, for the stack `vault` too.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        network: NetworkStack,
        archive: ArchiveStack,
        alerting: AlertingStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        self._settings, self._archive, self._alerting = settings, archive, alerting
        self.bundle = bundle_location(self)
        self.sessions = Sessions(self, "Sessions", settings=settings)
        self.group = host_group(self, network, settings, description="The log server")
        for clients in settings.external_clients:
            self.group.add_ingress_rule(ec2.Peer.ipv4(clients), PORTS, "Log lines of nodes, over mutual TLS")
        alarms = Alarms(self, "Alarms", deployment=settings.deployment, topic=alerting.operations)
        code = function_code(self, settings, packages=WITH_CERTIFICATES)
        authority = Authority(
            self,
            "Authority",
            defaults=FunctionDefaults(settings=settings, code=code, alarms=alarms),
            domain=network.domain,
            hosts=_certified(settings, network.domain),
        )
        self.sign_function = authority.function_arn
        defaults = HostDefaults(
            settings=settings,
            network=network,
            key=HostKey(self, "Key", description="Encrypts the disks of the log server"),
            bundle=self.bundle,
            alarms=alarms,
            sign_function=self.sign_function,
            archive_bucket=archive.archive.bucket_name,
            statements=self.sessions.log,
        )
        host = Host(
            self,
            "Host",
            name=LOG_SERVER,
            place=network.places[0],
            kind=self._kind(),
            defaults=defaults,
            statements=self._statements(),
        )
        permissions.acknowledge_writes(
            host, archive.archive, [keys.segments_of(it, LOG_SERVER) for it in keys.LOG_SERVER_SOURCES]
        )
        if settings.log_server_handler == "ship":
            permissions.acknowledge_writes(host, archive.alerts, [keys.OVERSIZE])
        self.dns_name = host.dns_name
        for node, role in settings.external_nodes.items():
            self._allow_external(node, role)
        self._add_outputs(host)

    def _allow_external(self, node: str, role: str) -> None:
        """Let the role of an external node ask for its certificate, and write to the archive below its name."""
        archive = self._archive
        statements = [
            host_permissions.request_certificate(self.sign_function),
            *host_permissions.archive(archive.archive, archive.key, node, keys.NODE_SOURCES),
        ]
        policy = iam.CfnManagedPolicy(
            Construct(self, f"External-{node}"),
            "Allowed",
            description=f"What the external node {node} may do",
            policy_document=iam.PolicyDocument(statements=statements),
            roles=[role],
        )
        permissions.acknowledge_writes(
            policy, archive.archive, [keys.segments_of(it, node) for it in keys.NODE_SOURCES]
        )

    def _kind(self) -> HostKind:
        settings = self._settings
        if settings.log_server_handler == "ship":
            handler = {
                "stream": self._alerting.stream.stream_name,
                "oversize_bucket": self._archive.alerts.bucket_name,
            }
        else:
            topic = self._alerting.topic.topic_arn
            handler = {"watch_options": f"--sns-topic {topic} --timezone {settings.timezone}"}
        return HostKind(
            role="log-server",
            instance_type=settings.log_server_instance_type,
            group=self.group,
            disks=[
                Disk(name="Data", gib=settings.log_server_buffer_gib, mount="/var/lib/vaultwatch"),
                Disk(name="Log", gib=settings.log_server_gib, mount="/var/log/vault"),
            ],
            values={"handler": settings.log_server_handler, **handler},
        )

    def _statements(self) -> list[iam.PolicyStatement]:
        archive, alerting = self._archive, self._alerting
        own = host_permissions.archive(archive.archive, archive.key, LOG_SERVER, keys.LOG_SERVER_SOURCES)
        if self._settings.log_server_handler == "ship":
            return [*own, *host_permissions.ship(alerting.stream, alerting.key, archive.alerts)]
        return [*own, *permissions.publish(alerting.topic, alerting.key)]

    def _add_outputs(self, host: Host) -> None:
        name = self._settings.deployment
        session = f"aws ssm start-session --document-name {self.sessions.document} --target"
        CfnOutput(self, "LogServerName", value=host.dns_name, description="The private name of the log server")
        CfnOutput(
            self,
            "LogServerSession",
            value=f"{session} $({find_instance(name, LOG_SERVER)})",
            description="Opens a session on the log server",
        )
        CfnOutput(
            self,
            "ShowLogs",
            value="sudo tail -F /var/log/vault/audit /var/log/vault/messages",
            description="In a session on the log server: shows what arrives",
        )
        if self._settings.vault == "external":
            shared = {
                "deployment": name,
                "cluster": name,
                "region": self.region,
                "log_server": host.dns_name,
                "sign_function": self.sign_function,
            }
            text = "The values of host.json that all nodes share, besides archive_bucket: the output ArchiveBucketName"
            CfnOutput(self, "ExternalNodeValues", value=json.dumps(shared), description=text)


def _certified(settings: Settings, domain: str) -> dict[str, Certified]:
    """Return what the authority certifies, by the role that asks.

    A deployed node is a server too, under its own name and that of the load balancer. An external one only sends lines,
    and may have its role by other means than an instance.
    """
    found = {role_name(settings, LOG_SERVER): _host(LOG_SERVER, domain, "server")}
    if settings.vault == "external":
        return found | {role: _external(name, domain) for name, role in settings.external_nodes.items()}
    for name in settings.node_names:
        found[role_name(settings, name)] = _host(name, domain, "client", "server", also=(f"{API}.{domain}",))
    return found


def _external(name: str, domain: str) -> Certified:
    return Certified(name=name, dns=(f"{name}.{domain}",), usage=("client",), instance=False)


def _host(name: str, domain: str, *usage: Usage, also: tuple[str, ...] = ()) -> Certified:
    return Certified(name=name, dns=(f"{name}.{domain}", *also), usage=usage)


def host_group(scope: Construct, network: NetworkStack, settings: Settings, *, description: str) -> ec2.SecurityGroup:
    """Make the security group of hosts: they may connect to HTTPS as the settings say, and nobody may connect to them.

    Args:
        scope: The stack of the hosts.
        network: The stack of their network.
        settings: To what they may connect.
        description: What the hosts are.
    """
    group = ec2.SecurityGroup(scope, "Group", vpc=network.vpc, description=description, allow_all_outbound=False)
    https = ec2.Port.tcp(443)
    if network.endpoints:
        group.add_egress_rule(network.endpoints, https, "HTTPS to the interface endpoints")
    for block in settings.egress_ranges:
        group.add_egress_rule(ec2.Peer.ipv4(block), https, "HTTPS to AWS, packages and releases")
    for name in settings.egress_prefix_lists:
        group.add_egress_rule(ec2.Peer.prefix_list(name), https, "HTTPS to a prefix list")
    return group


def find_instance(deployment: str, host: str) -> str:
    """Return the command that prints the id of a host's present instance."""
    tag = f"Name=tag:{host_permissions.HOST_TAG},Values={deployment}/{host}"
    running = "Name=instance-state-name,Values=running"
    query = "'Reservations[].Instances[].InstanceId'"
    return f"aws ec2 describe-instances --filters {tag} {running} --query {query} --output text"
