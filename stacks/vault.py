"""Stack `vault`: one, three or five nodes of HashiCorp Vault or OpenBao behind a load balancer."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.alerting import AlertingStack
from stacks.archive import ArchiveStack
from stacks.constructs import host_permissions, permissions
from stacks.constructs.administrator import ADMINISTRATOR, Administrator
from stacks.constructs.alarms import Alarms
from stacks.constructs.host import Disk, Host, HostDefaults, HostKind, role_arn
from stacks.constructs.host_key import HostKey
from stacks.constructs.recovery_keys import RecoveryKeys
from stacks.constructs.seal_key import SealKey
from stacks.constructs.vault_address import API_PORT, VaultAddress
from stacks.log_server import GIB, PORTS, LogServerStack, find_instance, host_group
from stacks.network import NetworkStack
from vaultwatch.aws import keys
from vaultwatch.host_settings import API
from vaultwatch.settings import Settings

_CLUSTER = ec2.Port.tcp(8201)


class VaultStack(Stack):
    """A Raft cluster that unseals itself.

    Nodes are replaced one after the other, each only when the one before is ready again.

    Args:
        scope: The app.
        construct_id: The name of the stack.
        settings: The settings of the deployment.
        network: The stack of its network.
        archive: The stack that holds the archive.
        alerting: The stack that holds the topic of the alarms.
        log_server: The stack of the log server.
        kwargs: Further arguments of `Stack`.
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
        log_server: LogServerStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        self._settings, self._network, self._archive, self._log_server = settings, network, archive, log_server
        assert archive.snapshots is not None  # noqa: S101  it is there if this stack is
        self._snapshots = archive.snapshots
        alarms = Alarms(self, "Alarms", deployment=settings.deployment, topic=alerting.operations)
        key = HostKey(self, "Key", description="Encrypts the disks of the Vault nodes and the recovery keys")
        self._seal = SealKey(self, "SealKey", alarms=alarms)
        users = [role_arn(settings, name) for name in (settings.node_names[0], ADMINISTRATOR)]
        self._recovery = RecoveryKeys(self, "Recovery", key=key, alarms=alarms, users=users)
        self._administrator = Administrator(
            self, "Administrator", settings=settings, secrets=self._recovery.arns, key=key
        )
        self._group = host_group(self, network, settings, description="The Vault nodes")
        self._address = VaultAddress(self, "Address", settings=settings, network=network, nodes=self._group)
        self._let_nodes_speak()
        self._defaults = HostDefaults(
            settings=settings,
            network=network,
            key=key,
            bundle=log_server.bundle,
            alarms=alarms,
            sign_function=log_server.sign_function,
            archive_bucket=archive.archive.bucket_name,
            statements=[
                *log_server.sessions.log,
                host_permissions.unseal(self._seal),
                self._administrator.resolve,
            ],
        )
        self._add_nodes()
        alarms.watch_cluster()
        self._add_outputs()

    def _let_nodes_speak(self) -> None:
        nodes, server = self._group, self._log_server.group
        for port, what in ((ec2.Port.tcp(API_PORT), "Joining"), (_CLUSTER, "Raft and forwarded requests")):
            nodes.add_ingress_rule(nodes, port, f"{what}, between nodes")
            nodes.add_egress_rule(nodes, port, f"{what}, between nodes")
        nodes.add_egress_rule(server, PORTS, "Log lines, over mutual TLS")
        # A rule of this stack: the stack of the log server is deployed first.
        ec2.CfnSecurityGroupIngress(
            self,
            "ToLogServer",
            group_id=server.security_group_id,
            source_security_group_id=nodes.security_group_id,
            ip_protocol="tcp",
            from_port=1514,
            to_port=1516,
            description="Log lines of the Vault nodes, over mutual TLS",
        )

    def _add_nodes(self) -> None:
        before: Host | None = None
        for number, name in enumerate(self._settings.node_names):
            place = self._network.places[number % len(self._network.places)]
            first = before is None
            node = Host(
                self,
                name.title().replace("-", ""),
                name=name,
                place=place,
                kind=self._kind(),
                defaults=self._defaults,
                statements=[
                    host_permissions.store_snapshots(self._snapshots, name),
                    *host_permissions.archive(self._archive.archive, self._archive.key, name, keys.NODE_SOURCES),
                    *(self._recovery.bootstrap if first else ()),
                ],
            )
            own = [keys.segments_of(source, name) for source in keys.NODE_SOURCES]
            permissions.acknowledge_writes(node, self._archive.archive, own)
            permissions.acknowledge_writes(node, self._snapshots, [keys.snapshots_of(name)])
            self._address.add(node.resource)
            self._defaults.alarms.watch_vault(name)
            if before is not None:
                node.resource.add_dependency(before.resource)
            before = node

    def _kind(self) -> HostKind:
        settings, domain = self._settings, self._network.domain
        openbao = settings.vault == "openbao"
        return HostKind(
            role="node",
            instance_type=settings.vault_instance_type,
            group=self._group,
            disks=[
                Disk(name="Data", gib=settings.vault_data_gib, mount="/var/lib/vault"),
                Disk(name="Audit", gib=settings.vault_audit_gib, mount="/var/log/vault"),
            ],
            values={
                "product": settings.vault,
                "server_version": settings.openbao_version if openbao else settings.vault_version,
                "server_sha256": settings.openbao_sha256 if openbao else settings.vault_sha256,
                "kms_seal_key": self._seal.key_arn,
                "snapshot_bucket": self._snapshots.bucket_name,
                "nodes": ",".join(f"{name}.{domain}" for name in settings.node_names),
                "api_name": f"{API}.{domain}",
                "log_server": self._log_server.dns_name,
                "audit_buffer_bytes": str(settings.audit_buffer_gib * GIB),
                "server_buffer_bytes": str(settings.server_buffer_gib * GIB),
                "administrators": self._administrator.role.role_arn,
                **self._recovery.values,
            },
        )

    def _add_outputs(self) -> None:
        name, domain = self._settings.deployment, self._network.domain
        CfnOutput(
            self,
            "VaultAddress",
            value=f"https://{API}.{domain}:{API_PORT}",
            description="VAULT_ADDR of clients in the VPC",
        )
        session = f"aws ssm start-session --document-name {self._log_server.sessions.document} --target"
        for node in self._settings.node_names:
            CfnOutput(
                self,
                f"{node.title().replace('-', '')}Session",
                value=f"{session} $({find_instance(name, node)})",
                description=f"Opens a session on {node}",
            )
        CfnOutput(
            self,
            "AdministratorRole",
            value=self._administrator.role.role_arn,
            description="Administrators of Vault assume this role, then log in (docs/deploy.md, 5)",
        )
        self._add_secret("RecoveryKeys", self._recovery.secret, "Prints the recovery keys, and notifies of it")
        if self._settings.vault == "openbao":
            text = "Prints the password of the user administrator, and notifies of it"
            self._add_secret("AdministratorPassword", self._recovery.password, text)

    def _add_secret(self, name: str, secret: secretsmanager.CfnSecret, description: str) -> None:
        command = f"aws secretsmanager get-secret-value --secret-id {secret.ref} --query SecretString --output text"
        CfnOutput(self, name, value=command, description=description)
