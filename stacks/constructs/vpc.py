"""The VPC of a deployment: a created one, or an existing one."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.constructs import permissions
from stacks.constructs.endpoints import Endpoints
from stacks.constructs.function import log_group, service_role
from stacks.constructs.nat import NatGateway, NatInstance
from vaultwatch.host_settings import zone_count
from vaultwatch.settings import Settings


class OwnVpc(Construct):
    """A VPC with a private subnet in each zone, a NAT, endpoints and flow logs.

    Its default security group allows nothing. Only the NAT is in a public subnet.

    Args:
        scope: The construct that holds the VPC.
        construct_id: The id within `scope`.
        settings: Its range, its zones and its NAT.

    Attributes:
        vpc: The VPC.
        subnets: The private subnets, one in each zone.
        endpoints: The security group of the interface endpoints, if there are any.
        nat: The NAT instance, if there is one.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(settings.vpc_cidr),
            availability_zones=_zones(settings),
            nat_gateways=0,
            restrict_default_security_group=True,
            subnet_configuration=_subnets(settings),
        )
        self.subnets: Sequence[ec2.ISubnet] = self.vpc.isolated_subnets
        self.nat: ec2.CfnInstance | None = None
        self._log_flows(settings)
        self._add_nat(settings)
        endpoints = Endpoints(self, "Endpoints", vpc=self.vpc, subnet=self.subnets[0], settings=settings)
        self.endpoints = endpoints.group

    def _log_flows(self, settings: Settings) -> None:
        group = log_group(self, "FlowLogs", settings)
        role = service_role(group, "vpc-flow-logs", "VPC flow logs", [permissions.write_flow_logs(group)])
        ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.log_group_arn,
            deliver_logs_permission_arn=role.role_arn,
        )

    def _add_nat(self, settings: Settings) -> None:
        if settings.nat == "instance":
            way = NatInstance(self, "NatInstance", vpc=self.vpc, subnet=self.vpc.public_subnets[0], settings=settings)
            self.nat = way.resource
            self._route("instance_id", way.resource.ref)
        elif settings.nat == "gateway":
            gateway = NatGateway(self, "NatGateway", subnet=self.vpc.public_subnets[0])
            self._route("nat_gateway_id", gateway.resource.ref)

    def _route(self, kind: str, target: str) -> None:
        for number, subnet in enumerate(self.vpc.isolated_subnets, 1):
            table = subnet.route_table.route_table_id
            ec2.CfnRoute(
                self, f"Out{number}", route_table_id=table, destination_cidr_block="0.0.0.0/0", **{kind: target}
            )


def _zones(settings: Settings) -> list[str]:
    return list(settings.zones) or [Fn.select(place, Fn.get_azs()) for place in range(zone_count(settings))]


def _subnets(settings: Settings) -> list[ec2.SubnetConfiguration]:
    """Divide the range: a quarter for each zone's hosts at most, and a small one for the NAT."""
    bits = int(settings.vpc_cidr.rpartition("/")[2])
    hosts = ec2.SubnetConfiguration(
        name="Hosts", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=min(bits + 3, 26)
    )
    out = ec2.SubnetConfiguration(
        name="Out", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=28, map_public_ip_on_launch=False
    )
    return [hosts] if settings.nat == "none" else [hosts, out]
