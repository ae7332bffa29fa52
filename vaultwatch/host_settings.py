"""The settings of the network and of the hosts; `vaultwatch.settings` adds all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
"""The name of a node: one label of a DNS name, which is also part of tags, S3 keys and the names of roles."""
NODE_PREFIX = "vault-"
"""What the name of each node that is deployed begins with."""
LOG_SERVER = "log-server"
"""The name of the log server."""
API = "vault"
"""The name of Vault's load balancer."""
_ZONE = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9][a-z]", re.ASCII)
_PRIVATE = [IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]
# Processors by Amazon: the letter g in the family. Hosts run arm64 only.
_GRAVITON = r"^([a-z]+[0-9]+g[a-z]*)\.[a-z0-9-]+\Z"
_SHA256 = r"^[0-9a-f]{64}\Z"
_VERSION = r"^[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?\Z"


def setting(unit: str, meaning: str, **bounds: Any) -> Meta:
    """Describe one setting: its unit and its meaning for `docs/settings.md`, and the bounds of its value."""
    return Meta(description=meaning, extra={"unit": unit}, **bounds)


class HostSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the network, the log server and the Vault nodes, with their defaults."""

    vault: Annotated[
        Literal["vault", "openbao", "external"],
        setting(
            "product",
            "What the Vault nodes run: HashiCorp Vault or OpenBao. With `external` no node is deployed; nodes that you "
            "already have get the package of `make node-package`.",
        ),
    ] = "vault"
    vault_nodes: Annotated[
        Literal[1, 3, 5],
        setting(
            "nodes",
            "How many Vault nodes are deployed. Three tolerate the loss of one node or one zone, five of two nodes.",
        ),
    ] = 1
    vault_version: Annotated[
        str, setting("version", "Version of HashiCorp Vault, downloaded at the first boot of a node.", pattern=_VERSION)
    ] = "2.0.3"
    vault_sha256: Annotated[
        str,
        setting(
            "hex", "SHA-256 of the release `vault_<version>_linux_arm64.zip`; a node refuses another.", pattern=_SHA256
        ),
    ] = "9423a715aea0689f9e498fe7cc5ea692aa1eff282f8b9bc26af28cad69d6d841"
    openbao_version: Annotated[
        str, setting("version", "Version of OpenBao, downloaded at the first boot of a node.", pattern=_VERSION)
    ] = "2.6.2"
    openbao_sha256: Annotated[
        str,
        setting(
            "hex",
            "SHA-256 of the release `openbao_<version>_linux_arm64.tar.gz`; a node refuses another.",
            pattern=_SHA256,
        ),
    ] = "1b408e01f3565ac0cbcb88d637dca271d0515148fb72efdeff4473a34fa50c4e"
    vault_instance_type: Annotated[
        str,
        setting(
            "type", "EC2 type of the Vault nodes, with a Graviton processor. A change replaces them.", pattern=_GRAVITON
        ),
    ] = "m7g.large"
    vault_data_gib: Annotated[
        int,
        setting("GiB", "Volume of each node for Vault's storage. It may grow, never shrink.", ge=10, le=16384),
    ] = 100
    vault_audit_gib: Annotated[
        int,
        setting(
            "GiB",
            "Volume of each node for the audit file and the disk buffers. It may grow, never shrink.",
            ge=10,
            le=16384,
        ),
    ] = 50
    snapshot_retention_days: Annotated[
        int,
        setting(
            "days",
            "How long snapshots of Vault's storage are kept. The active node stores one every six hours in a bucket of "
            "its own, where Object Lock prevents their deletion for as long.",
            ge=1,
            le=3650,
        ),
    ] = 30
    vault_clients: Annotated[
        tuple[str, ...],
        setting(
            "CIDR ranges",
            "Private IPv4 ranges that may connect to Vault. Without any, the whole VPC of `vpc_cidr` may.",
            max_length=20,
        ),
    ] = ()
    external_nodes: Annotated[
        dict[str, str],
        setting(
            "name: IAM role",
            "With `vault: external`: each node's name, and the role of this account as which it asks for its "
            "certificate and writes to the archive.",
            max_length=20,
        ),
    ] = {}
    external_clients: Annotated[
        tuple[str, ...],
        setting(
            "CIDR ranges",
            "With `vault: external`: private IPv4 ranges from which nodes may connect to the log server.",
            max_length=20,
        ),
    ] = ()
    log_server: Annotated[
        Literal["instance", "external"],
        setting(
            "place",
            "`instance` deploys the log server. With `external` you run `vaultwatch ship` on a host of your own, and "
            "neither a network nor any host is deployed.",
        ),
    ] = "instance"
    log_server_handler: Annotated[
        Literal["ship", "watch"],
        setting("command", "`ship` sends every line to the stream; `watch` evaluates on the log server itself."),
    ] = "ship"
    log_server_instance_type: Annotated[
        str,
        setting(
            "type", "EC2 type of the log server, with a Graviton processor. A change replaces it.", pattern=_GRAVITON
        ),
    ] = "t4g.medium"
    log_server_gib: Annotated[
        int,
        setting("GiB", "Volume of the log server for the logs. It may grow, never shrink.", ge=20, le=16384),
    ] = 100
    log_server_buffer_gib: Annotated[
        int,
        setting(
            "GiB",
            "Volume of the log server for the state and the disk buffers of its handlers, which logs cannot fill. It "
            "may grow, never shrink.",
            ge=5,
            le=16384,
        ),
    ] = 10
    audit_buffer_gib: Annotated[
        int,
        setting(
            "GiB",
            "Disk buffer of a node for the audit entries of the socket, while the log server is unavailable.",
            ge=1,
            le=100,
        ),
    ] = 4
    server_buffer_gib: Annotated[
        int,
        setting("GiB", "Disk buffer of a node for the server log, while the log server is unavailable.", ge=1, le=100),
    ] = 1
    vpc_cidr: Annotated[str, setting("CIDR range", "Private IPv4 range of the created VPC, /16 to /24.")] = (
        "10.90.0.0/20"
    )
    vpc_id: Annotated[
        str,
        setting(
            "id", "An existing VPC to deploy into; without it, a VPC is created.", pattern=r"^(vpc-[0-9a-f]{8,17})?\Z"
        ),
    ] = ""
    vpc_subnets: Annotated[
        dict[str, str],
        setting(
            "zone: subnet id",
            "With `vpc_id`: a private subnet in each zone, with a route to the internet for packages. The log server "
            "is in the first; nodes are distributed over all.",
            max_length=6,
        ),
    ] = {}
    zones: Annotated[
        tuple[str, ...],
        setting(
            "zones",
            "Zones of the created VPC, as many as it needs: one for a single node, otherwise three. Without any, "
            "the first ones that AWS lists.",
            max_length=6,
        ),
    ] = ()
    nat: Annotated[
        Literal["instance", "gateway", "none"],
        setting(
            "kind",
            "How the created VPC reaches the internet: by a small NAT instance, a NAT gateway, or none, where you "
            "add a route of your own (a transit gateway, a firewall) before you deploy the hosts.",
        ),
    ] = "instance"
    interface_endpoints: Annotated[
        bool,
        setting(
            "true or false",
            "Whether the created VPC has interface endpoints with policies for AWS's services. Without them, "
            "traffic to AWS takes the NAT, and 80 USD a month are saved.",
        ),
    ] = True
    egress_ranges: Annotated[
        tuple[str, ...],
        setting(
            "CIDR ranges",
            "IPv4 ranges to which hosts may connect by HTTPS, besides the interface endpoints. A boot needs Route 53, "
            "Ubuntu's package snapshots and the release of Vault or OpenBao, whose addresses change.",
            max_length=20,
        ),
    ] = ("0.0.0.0/0",)
    egress_prefix_lists: Annotated[
        tuple[str, ...],
        setting(
            "ids",
            "Prefix lists to which hosts may connect by HTTPS. With narrow `egress_ranges`, that of S3 in the region "
            "has to be one.",
            max_length=20,
        ),
    ] = ()
    image_serial: Annotated[
        str,
        setting(
            "serial",
            "Canonical's release of the Ubuntu 24.04 image for all hosts. A change replaces the hosts.",
            pattern=r"^20[0-9]{6}(\.[0-9]+)?\Z",
        ),
    ] = "20260923"
    image_id: Annotated[
        str,
        setting(
            "id",
            "An own image, made from Ubuntu 24.04 for arm64, instead of Canonical's.",
            pattern=r"^(ami-[0-9a-f]{8,17})?\Z",
        ),
    ] = ""
    package_snapshot: Annotated[
        str,
        setting(
            "time",
            "State of Ubuntu's archive from which the hosts install packages, by snapshot.ubuntu.com.",
            pattern=r"^20[0-9]{6}T[0-9]{6}Z\Z",
        ),
    ] = "20261001T000000Z"

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the Vault nodes that send logs: those that are deployed, or the external ones."""
        if self.vault == "external":
            return tuple(self.external_nodes)
        return tuple(f"{NODE_PREFIX}{number}" for number in range(1, self.vault_nodes + 1))


def host_contradictions(settings: HostSettings) -> Iterator[str]:
    """Yield what is wrong with the settings of the hosts, one sentence each."""
    yield from _wrong_ranges("vault_clients", settings.vault_clients)
    yield from _wrong_ranges("external_clients", settings.external_clients)
    yield from _wrong_network(settings)
    yield from _wrong_nodes(settings)


def has_nodes(settings: HostSettings) -> bool:
    """Return whether Vault nodes are deployed."""
    return settings.vault != "external"


def zone_count(settings: HostSettings) -> int:
    """Return in how many zones the created VPC has subnets: enough to spread the nodes, at least two."""
    return 2 if settings.vault == "external" else min(3, 1 + settings.vault_nodes)


def _wrong_network(settings: HostSettings) -> Iterator[str]:
    yield from _wrong_ranges("vpc_cidr", (settings.vpc_cidr,))
    yield from _wrong_egress(settings)
    if not 16 <= int(settings.vpc_cidr.rpartition("/")[2] or 0) <= 24:
        yield "vaultwatch.vpc_cidr: must have a prefix of 16 to 24 bits"
    if bool(settings.vpc_id) != bool(settings.vpc_subnets):
        yield "vaultwatch.vpc_subnets: vpc_id and vpc_subnets need each other"
    for zone, subnet in settings.vpc_subnets.items():
        if not _ZONE.fullmatch(zone) or not re.fullmatch(r"subnet-[0-9a-f]{8,17}", subnet):
            yield f"vaultwatch.vpc_subnets: `{zone}: {subnet}` is not a zone and the id of a subnet"
    if settings.vpc_id and settings.zones:
        yield "vaultwatch.zones: has no effect with vpc_id; vpc_subnets names the zones"
    if settings.vpc_id and settings.vault != "external" and not settings.vault_clients:
        yield "vaultwatch.vault_clients: must name the clients of Vault in the VPC of vpc_id"
    if settings.zones and len(set(settings.zones)) != zone_count(settings):
        yield f"vaultwatch.zones: must name {zone_count(settings)} different zones"
    for zone in settings.zones:
        if not _ZONE.fullmatch(zone):
            yield f"vaultwatch.zones: `{zone}` is not the name of a zone"


def _wrong_egress(settings: HostSettings) -> Iterator[str]:
    yield from _wrong_ranges("egress_ranges", settings.egress_ranges, private=False)
    for name in settings.egress_prefix_lists:
        if not re.fullmatch(r"pl-[0-9a-f]{8,17}", name, re.ASCII):
            yield f"vaultwatch.egress_prefix_lists: `{name}` is not the id of a prefix list"


def _wrong_nodes(settings: HostSettings) -> Iterator[str]:
    for name, role in settings.external_nodes.items():
        if not NODE_NAME.fullmatch(name) or name in (API, LOG_SERVER):
            yield f"vaultwatch.external_nodes: `{name}` is not the name of a node (a-z, 0-9 and -)"
        if not re.fullmatch(r"[\w+=,.@-]{1,64}", role, re.ASCII):
            yield f"vaultwatch.external_nodes: `{role}` is not the name of an IAM role"
    if len(set(settings.external_nodes.values())) != len(settings.external_nodes):
        yield "vaultwatch.external_nodes: each node needs a role of its own, because the role proves which node it is"
    for name in ("external_nodes", "external_clients"):
        if getattr(settings, name) and settings.vault != "external":
            yield f"vaultwatch.{name}: has no effect unless vault is external"
    if settings.vault_audit_gib < 2 * (settings.audit_buffer_gib + settings.server_buffer_gib):
        yield "vaultwatch.vault_audit_gib: must be twice audit_buffer_gib and server_buffer_gib together, or more"
    if settings.log_server == "external" and settings.vault != "external":
        yield "vaultwatch.log_server: nodes that are deployed need the log server that is deployed"


def _wrong_ranges(name: str, ranges: tuple[str, ...], *, private: bool = True) -> Iterator[str]:
    for text in ranges:
        try:
            block = IPv4Network(text)
        except ValueError:
            yield f"vaultwatch.{name}: `{text}` is not a range of IPv4 addresses"
            continue
        if private and not any(block.subnet_of(it) for it in _PRIVATE):
            yield f"vaultwatch.{name}: `{text}` is not a private range"
    for text in {text for text in ranges if ranges.count(text) > 1}:
        yield f"vaultwatch.{name}: `{text}` is listed twice"
