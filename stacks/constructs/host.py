"""A host: an Auto Scaling group of exactly one instance, whose volumes, name and role outlive the instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import (
    Aws,
    CfnAutoScalingRollingUpdate,
    CfnCreationPolicy,
    CfnResourceSignal,
    CfnTag,
    CfnUpdatePolicy,
    Fn,
    RemovalPolicy,
    Stack,
)
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.constructs import host_permissions
from stacks.constructs.alarms import Alarms
from stacks.constructs.image import ROOT_DEVICE, image_of
from stacks.constructs.permissions import accept_sessions, acknowledge
from stacks.network import NetworkStack, Place
from stacks.user_data import BundleLocation, host_user_data
from vaultwatch.settings import Settings

_READY_WITHIN = "PT30M"
_ROOT_GIB = 16


@dataclass(frozen=True, kw_only=True)
class HostDefaults:
    """What all hosts of a stack have in common.

    Attributes:
        settings: The settings of the deployment.
        network: The stack of their network.
        key: The key that encrypts their disks.
        bundle: Where the host bundle is.
        alarms: Where the alarms of each host are added.
        sign_function: The function that signs their certificates.
        archive_bucket: The name of the archive's bucket.
        statements: What each of them may do, besides starting up.
    """

    settings: Settings
    network: NetworkStack
    key: kms.Key
    bundle: BundleLocation
    alarms: Alarms
    sign_function: str
    archive_bucket: str
    statements: Sequence[iam.PolicyStatement]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A volume of a host, which outlives its instances.

    Attributes:
        name: What it is for: "Data".
        gib: Its size.
        mount: Where the host mounts it.
    """

    name: str
    gib: int
    mount: str


@dataclass(frozen=True, kw_only=True)
class HostKind:
    """What distinguishes a log server from a Vault node.

    Attributes:
        role: Its role: "node".
        instance_type: Its EC2 type.
        group: Its security group.
        disks: Its volumes.
        values: The values of its host.json, besides those that every host has.
    """

    role: str
    instance_type: str
    group: ec2.ISecurityGroup
    disks: Sequence[Disk]
    values: Mapping[str, str]


class Host(Construct):
    """One host.

    When its launch template changes, CloudFormation ends the instance before the new one starts, because two instances
    cannot have the same volumes, and waits until the new one signals that it is ready.

    Args:
        scope: The construct that holds the host.
        construct_id: The id within `scope`.
        name: Its name: "vault-1".
        place: Its subnet and zone.
        kind: What kind of host it is.
        defaults: What all hosts of the stack have in common.
        statements: What it may do, besides what all hosts of the stack may.

    Attributes:
        dns_name: Its private name.
        role: Its IAM role, by which the authority knows it.
        resource: The Auto Scaling group.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        place: Place,
        kind: HostKind,
        defaults: HostDefaults,
        statements: Sequence[iam.PolicyStatement],
    ) -> None:
        super().__init__(scope, construct_id)
        self._name, self._kind, self._defaults = name, kind, defaults
        self._tag = f"{defaults.settings.deployment}/{name}"
        self.dns_name = f"{name}.{defaults.network.domain}"
        self._volumes = [self._volume(disk, place) for disk in kind.disks]
        self.role = self._role(statements)
        self.resource = self._group(place)
        defaults.alarms.watch_host(name, self.resource)

    def _volume(self, disk: Disk, place: Place) -> ec2.CfnVolume:
        volume = ec2.CfnVolume(
            self,
            disk.name,
            availability_zone=place.zone,
            encrypted=True,
            kms_key_id=self._defaults.key.key_arn,
            size=disk.gib,
            volume_type="gp3",
            tags=[CfnTag(key="Name", value=f"{self._tag}/{disk.name.lower()}")],
        )
        volume.apply_removal_policy(RemovalPolicy.RETAIN)
        return volume

    def _role(self, statements: Sequence[iam.PolicyStatement]) -> iam.Role:
        defaults, stack = self._defaults, Stack.of(self)
        own = [
            accept_sessions(),
            host_permissions.read_bundle(defaults.bundle),
            *host_permissions.attach_volumes(self._volumes, self._tag),
            *host_permissions.use_disks(defaults.key),
            host_permissions.set_own_name(defaults.network.zone, self.dns_name),
            host_permissions.signal(stack),
            host_permissions.put_metrics(),
            host_permissions.request_certificate(defaults.sign_function),
        ]
        role = iam.Role(
            self,
            "Role",
            role_name=role_name(defaults.settings, self._name),
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description=f"What the host {self._name} may do",
            inline_policies={"Allowed": iam.PolicyDocument(statements=[*own, *defaults.statements, *statements])},
        )
        host_permissions.acknowledge_host(role, stack)
        return role

    def _group(self, place: Place) -> autoscaling.CfnAutoScalingGroup:
        group = autoscaling.CfnAutoScalingGroup
        found = Stack.of(self).get_logical_id
        made = group(
            self,
            "Group",
            min_size="1",
            max_size="1",
            vpc_zone_identifier=[place.subnet],
            health_check_type="EC2",
            health_check_grace_period=600,
        )
        template = self._template(group=found(made))
        made.launch_template = group.LaunchTemplateSpecificationProperty(
            launch_template_id=template.ref, version=template.attr_latest_version_number
        )
        made.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=1, timeout=_READY_WITHIN)
        )
        made.cfn_options.update_policy = CfnUpdatePolicy(
            auto_scaling_rolling_update=CfnAutoScalingRollingUpdate(
                max_batch_size=1,
                min_instances_in_service=0,  # two instances cannot have the same volumes
                pause_time=_READY_WITHIN,
                wait_on_resource_signals=True,
                suspend_processes=[
                    "AZRebalance",
                    "AlarmNotification",
                    "HealthCheck",
                    "ReplaceUnhealthy",
                    "ScheduledActions",
                ],
            )
        )
        acknowledge(made, "AS3", "An alarm notifies of a host that is not ready; a group of one has no other event.")
        return made

    def _template(self, *, group: str) -> ec2.CfnLaunchTemplate:
        data = ec2.CfnLaunchTemplate
        profile = iam.CfnInstanceProfile(self, "Profile", roles=[self.role.role_name])
        disk = data.EbsProperty(
            encrypted=True, kms_key_id=self._defaults.key.key_arn, volume_size=_ROOT_GIB, volume_type="gp3"
        )
        tags = [
            CfnTag(key="Name", value=self._tag),
            CfnTag(key="deployment", value=self._defaults.settings.deployment),
            CfnTag(key=host_permissions.HOST_TAG, value=self._tag),
        ]
        return data(
            self,
            "Template",
            launch_template_data=data.LaunchTemplateDataProperty(
                image_id=image_of(self._defaults.settings),
                instance_type=self._kind.instance_type,
                iam_instance_profile=data.IamInstanceProfileProperty(arn=profile.attr_arn),
                metadata_options=data.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1, instance_metadata_tags="disabled"
                ),
                block_device_mappings=[data.BlockDeviceMappingProperty(device_name=ROOT_DEVICE, ebs=disk)],
                network_interfaces=[
                    data.NetworkInterfaceProperty(
                        device_index=0,
                        associate_public_ip_address=False,
                        groups=[self._kind.group.security_group_id],
                    )
                ],
                tag_specifications=[
                    data.TagSpecificationProperty(resource_type=kind, tags=tags) for kind in ("instance", "volume")
                ],
                user_data=Fn.base64(host_user_data(self._values(group), self._defaults.bundle)),
            ),
        )

    def _values(self, group: str) -> dict[str, str]:
        defaults, disks = self._defaults, zip(self._volumes, self._kind.disks, strict=True)
        return {
            "role": self._kind.role,
            "deployment": defaults.settings.deployment,
            "cluster": defaults.settings.deployment,
            "name": self._name,
            "domain": defaults.network.domain,
            "region": Aws.REGION,
            "stack": Stack.of(self).stack_name,
            "group": group,
            "volumes": ",".join(f"{volume.ref}={disk.mount}" for volume, disk in disks),
            "zone_id": defaults.network.zone.hosted_zone_id,
            "sign_function": defaults.sign_function,
            "archive_bucket": defaults.archive_bucket,
            "package_snapshot": defaults.settings.package_snapshot,
            **self._kind.values,
        }


def role_name(settings: Settings, host: str) -> str:
    """Return the name of a host's role.

    It has to be known before the role exists: the authority, which certifies hosts by their roles, is made first.
    """
    return f"{settings.deployment}-{Aws.REGION}-{host}"


def role_arn(settings: Settings, host: str) -> str:
    """Return the ARN of a host's role, also before the role exists; see `role_name`."""
    return f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{role_name(settings, host)}"
