"""Stack `network`: the private network of the hosts, and the zone of their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.constructs.alarms import Alarms
from stacks.constructs.vpc import OwnVpc
from vaultwatch.settings import Settings


@dataclass(frozen=True)
class Place:
    """Where a host can be.

    Attributes:
        subnet: The id of a private subnet.
        zone: Its availability zone, in which the volumes of the host have to be.
    """

    subnet: str
    zone: str


class NetworkStack(Stack):
    """A VPC, made or existing, with one private subnet in each zone.

    Args:
        scope: The app.
        construct_id: The name of the stack.
        settings: The settings of the deployment.
        operations: The topic of the alarms.
        kwargs: Further arguments of `Stack`.

    Attributes:
        vpc: The VPC.
        places: Where hosts can be; the first is where the log server and the first node are.
        endpoints: The security group of the interface endpoints, if there are any.
        domain: The domain of the hosts' private names: "vaultwatch.internal".
        zone: The private zone of that domain.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, operations: sns.ITopic, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **kwargs)
        self.endpoints: ec2.ISecurityGroup | None = None
        if settings.vpc_id:
            self.vpc = ec2.Vpc.from_vpc_attributes(
                self, "Vpc", vpc_id=settings.vpc_id, availability_zones=list(settings.vpc_subnets)
            )
            self.places = [Place(subnet, zone) for zone, subnet in settings.vpc_subnets.items()]
        else:
            own = OwnVpc(self, "Network", settings=settings)
            self.vpc, self.endpoints = own.vpc, own.endpoints
            self.places = [Place(subnet.subnet_id, zone_of(subnet)) for subnet in own.subnets]
            if own.nat:
                Alarms(self, "Alarms", deployment=settings.deployment, topic=operations).watch_nat(own.nat)
        self.domain = f"{settings.deployment}.internal"
        self.zone = route53.PrivateHostedZone(
            self, "Names", zone_name=self.domain, vpc=self.vpc, comment="The names of Vaultwatch's hosts"
        )


def zone_of(subnet: ec2.ISubnet) -> str:
    """Return the zone that a subnet is in, as AWS reports it.

    The zone that the subnet asks for is the first, second or third that AWS lists at the moment of a deployment. A
    volume that took it from that list would be replaced when the list changes.
    """
    resource = subnet.node.default_child
    assert isinstance(resource, ec2.CfnSubnet)  # noqa: S101  for the type checker
    return resource.attr_availability_zone
