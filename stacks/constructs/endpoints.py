"""The endpoints through which hosts reach AWS without the internet."""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.services import INTERFACES
from vaultwatch.settings import Settings


class Endpoints(Construct):
    """Gateway endpoints for S3 and DynamoDB, which cost nothing, and interface endpoints in one zone.

    Each accepts only principals of this account, on resources of this account: nobody carries data into another
    account through them. An interface endpoint costs by the zone; hosts in other zones reach it across zones.

    Args:
        scope: The construct that holds the endpoints.
        construct_id: The id within `scope`.
        vpc: The VPC.
        subnet: The subnet of the interface endpoints.
        settings: The range of the VPC, and whether interface endpoints are made at all.

    Attributes:
        group: The security group of the interface endpoints, if there are any.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, vpc: ec2.Vpc, subnet: ec2.ISubnet, settings: Settings
    ) -> None:
        super().__init__(scope, construct_id)
        for name, service in (
            ("S3", ec2.GatewayVpcEndpointAwsService.S3),
            ("Dynamodb", ec2.GatewayVpcEndpointAwsService.DYNAMODB),
        ):
            vpc.add_gateway_endpoint(name, service=service).add_to_policy(_within_account())
        self.group: ec2.ISecurityGroup | None = None
        if settings.interface_endpoints:
            self.group = self._add_interfaces(vpc, subnet, settings.vpc_cidr)

    def _add_interfaces(self, vpc: ec2.Vpc, subnet: ec2.ISubnet, clients: str) -> ec2.ISecurityGroup:
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="Interface endpoints", allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.ipv4(clients), ec2.Port.tcp(443), "HTTPS of the hosts")
        for name in INTERFACES:
            endpoint = ec2.InterfaceVpcEndpoint(
                self,
                name.title().replace("-", ""),
                vpc=vpc,
                service=ec2.InterfaceVpcEndpointAwsService(name),
                subnets=ec2.SubnetSelection(subnets=[subnet]),
                security_groups=[group],
                open=False,
            )
            endpoint.add_to_policy(_within_account())
            if name == "sts":
                endpoint.add_to_policy(_identify_callers())
        return group


def _within_account() -> iam.PolicyStatement:
    # A call without a resource has no account of one.
    own = {
        "StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID},
        "StringEqualsIfExists": {"aws:ResourceAccount": Aws.ACCOUNT_ID},
    }
    return iam.PolicyStatement(
        sid="WithinAccount", principals=[iam.AnyPrincipal()], actions=["*"], resources=["*"], conditions=own
    )


def _identify_callers() -> iam.PolicyStatement:
    """Let Vault's AWS auth method forward the signed requests of clients, also of those from other accounts."""
    return iam.PolicyStatement(
        sid="IdentifyCallers", principals=[iam.AnyPrincipal()], actions=["sts:GetCallerIdentity"], resources=["*"]
    )
