"""The way from private subnets to the internet: a small instance, or a NAT gateway."""

from __future__ import annotations

from aws_cdk import Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.constructs import permissions
from stacks.constructs.image import ROOT_DEVICE, image_of
from stacks.user_data import nat_user_data
from vaultwatch.settings import Settings


class NatInstance(Construct):
    """One instance in a public subnet that forwards HTTPS of the private subnets, and nothing else.

    If its hardware fails, AWS starts it on other hardware with the same addresses. Hosts need it to boot (packages,
    releases) and for services without an endpoint.

    Args:
        scope: The construct that holds the instance.
        construct_id: The id within `scope`.
        vpc: The VPC.
        subnet: The public subnet.
        settings: The image, the range of the VPC, and to what hosts may connect.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, vpc: ec2.IVpc, subnet: ec2.ISubnet, settings: Settings
    ) -> None:
        super().__init__(scope, construct_id)
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="The NAT instance", allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.ipv4(settings.vpc_cidr), ec2.Port.tcp(443), "HTTPS of the hosts")
        for block in settings.egress_ranges:
            group.add_egress_rule(ec2.Peer.ipv4(block), ec2.Port.tcp(443), "HTTPS to packages, releases and AWS")
        self._profile = self._sessions_only()
        self.resource = self._instance(group, subnet, settings)

    def _sessions_only(self) -> iam.CfnInstanceProfile:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description="What the NAT instance may do: sessions of Session Manager",
            inline_policies={"Allowed": iam.PolicyDocument(statements=[permissions.accept_sessions()])},
        )
        permissions.acknowledge_sessions(role)
        return iam.CfnInstanceProfile(self, "Profile", roles=[role.role_name])

    def _instance(self, group: ec2.ISecurityGroup, subnet: ec2.ISubnet, settings: Settings) -> ec2.CfnInstance:
        kind = ec2.CfnInstance
        disk = kind.EbsProperty(encrypted=True, volume_size=8, volume_type="gp3")
        made = kind(
            self,
            "Instance",
            image_id=image_of(settings),
            instance_type="t4g.nano",
            iam_instance_profile=self._profile.ref,
            subnet_id=subnet.subnet_id,
            security_group_ids=[group.security_group_id],
            source_dest_check=False,
            metadata_options=kind.MetadataOptionsProperty(http_tokens="required", http_put_response_hop_limit=1),
            block_device_mappings=[kind.BlockDeviceMappingProperty(device_name=ROOT_DEVICE, ebs=disk)],
            user_data=Fn.base64(nat_user_data(settings.vpc_cidr)),
        )
        address = ec2.CfnEIP(self, "Address", domain="vpc", instance_id=made.ref)
        address.node.add_dependency(subnet.internet_connectivity_established)
        permissions.acknowledge(made, "EC28", "Basic monitoring is sufficient: an alarm watches its status checks.")
        stateless = "It holds no data, and with termination protection CloudFormation could not replace its image."
        permissions.acknowledge(made, "EC29", stateless)
        return made


class NatGateway(Construct):
    """A NAT gateway in a public subnet.

    Args:
        scope: The construct that holds the gateway.
        construct_id: The id within `scope`.
        subnet: The public subnet.
    """

    def __init__(self, scope: Construct, construct_id: str, *, subnet: ec2.ISubnet) -> None:
        super().__init__(scope, construct_id)
        address = ec2.CfnEIP(self, "Address", domain="vpc")
        address.node.add_dependency(subnet.internet_connectivity_established)
        self.resource = ec2.CfnNatGateway(
            self, "Gateway", subnet_id=subnet.subnet_id, allocation_id=address.attr_allocation_id
        )
