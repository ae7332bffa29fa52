"""The address of Vault: an internal load balancer that passes TLS through to the nodes."""

from __future__ import annotations

from aws_cdk import Tags
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53 as route53
from constructs import Construct

from stacks.constructs.permissions import acknowledge
from stacks.network import NetworkStack
from vaultwatch.host_settings import API
from vaultwatch.settings import Settings

API_PORT = 8200
# A standby answers 429 and forwards requests; 501 and 503 are an uninitialised and a sealed node, which get none.
_HEALTH = "/v1/sys/health?standbyok=true&perfstandbyok=true"


class VaultAddress(Construct):
    """A network load balancer, and a private name for it.

    TLS ends at the nodes. A sealed or uninitialised node gets no clients; the bootstrap speaks to its own node.

    Args:
        scope: The construct that holds the load balancer.
        construct_id: The id within `scope`.
        settings: Who may connect.
        network: The stack of its network.
        nodes: The security group of the nodes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        network: NetworkStack,
        nodes: ec2.SecurityGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        group = ec2.SecurityGroup(
            self, "Group", vpc=network.vpc, description="The load balancer of Vault", allow_all_outbound=False
        )
        port = ec2.Port.tcp(API_PORT)
        for clients in settings.vault_clients or (settings.vpc_cidr,):
            group.add_ingress_rule(ec2.Peer.ipv4(clients), port, "Clients of Vault")
        group.add_egress_rule(nodes, port, "Requests and health checks")
        nodes.add_ingress_rule(group, port, "Requests and health checks of the load balancer")
        balancer = self._balancer(network, group)
        self._targets = self._target_group(network)
        forward = elbv2.CfnListener.ActionProperty(type="forward", target_group_arn=self._targets.ref)
        listener = elbv2.CfnListener(
            self,
            "Listener",
            load_balancer_arn=balancer.ref,
            port=API_PORT,
            protocol="TCP",
            default_actions=[forward],
        )
        Tags.of(listener).remove("deployment")  # cfn-lint does not know that listeners can be tagged
        alias = route53.CfnRecordSet.AliasTargetProperty(
            dns_name=balancer.attr_dns_name, hosted_zone_id=balancer.attr_canonical_hosted_zone_id
        )
        route53.CfnRecordSet(
            self,
            "Name",
            hosted_zone_id=network.zone.hosted_zone_id,
            name=f"{API}.{network.domain}",
            type="A",
            alias_target=alias,
        )

    def add(self, group: autoscaling.CfnAutoScalingGroup) -> None:
        """Let clients reach the node in this group."""
        group.target_group_arns = [self._targets.ref]

    def _balancer(self, network: NetworkStack, group: ec2.ISecurityGroup) -> elbv2.CfnLoadBalancer:
        attributes = {"deletion_protection.enabled": "true", "load_balancing.cross_zone.enabled": "true"}
        attribute = elbv2.CfnLoadBalancer.LoadBalancerAttributeProperty
        made = elbv2.CfnLoadBalancer(
            self,
            "Balancer",
            type="network",
            scheme="internal",
            subnets=[place.subnet for place in network.places],
            security_groups=[group.security_group_id],
            load_balancer_attributes=[attribute(key=name, value=value) for name, value in attributes.items()],
        )
        reason = (
            "A network load balancer logs only TLS that ends in it; flow logs and Vault's audit log have every client."
        )
        acknowledge(made, "ELB2", reason)
        return made

    def _target_group(self, network: NetworkStack) -> elbv2.CfnTargetGroup:
        attribute = elbv2.CfnTargetGroup.TargetGroupAttributeProperty
        attributes = {"deregistration_delay.timeout_seconds": "60", "preserve_client_ip.enabled": "true"}
        return elbv2.CfnTargetGroup(
            self,
            "Nodes",
            vpc_id=network.vpc.vpc_id,
            port=API_PORT,
            protocol="TCP",
            target_type="instance",
            health_check_protocol="HTTPS",
            health_check_path=_HEALTH,
            health_check_interval_seconds=10,
            health_check_timeout_seconds=6,
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
            matcher=elbv2.CfnTargetGroup.MatcherProperty(http_code="200"),
            target_group_attributes=[attribute(key=name, value=value) for name, value in attributes.items()],
        )
