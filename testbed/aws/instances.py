"""The part of EC2, Route 53 and CloudFormation that a host uses: it attaches volumes, sets its name, and signals.

A template's Auto Scaling group starts nothing by itself: a test launches an instance, and runs it as it likes.
"""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

from werkzeug.wrappers import Response

from testbed.aws.calls import Request, record_sets
from testbed.aws.template import Made, Resource, arn_of


@dataclass(frozen=True)
class Volume:
    """A volume of a template: its id and its size in GiB."""

    id: str
    gib: int


@dataclass(frozen=True)
class Instance:
    """An instance that was launched: its id, the name of its role, and its user data."""

    id: str
    role: str
    user_data: str


@dataclass(frozen=True)
class Signal:
    """A signal to a stack: the logical id of the resource, the status, and what makes it unique."""

    stack: str
    resource: str
    status: str
    id: str


@dataclass
class Instances:
    """Volumes, instances, names and signals.

    Attributes:
        attach: Called with the ids of an instance and of a volume when the instance attaches it.
        tags: The tags of instances, by their ARN.
        volumes: The volumes, by id.
        names: The addresses of the private names.
        signals: The signals, in their order.
    """

    attach: Callable[[str, str], None] = lambda instance, volume: None
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    _signalled: Condition = field(default_factory=Condition)
    _attached: dict[str, str] = field(default_factory=dict)
    _templates: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _groups: dict[str, str] = field(default_factory=dict)
    _profiles: dict[str, str] = field(default_factory=dict)

    def make(self, resource: Resource) -> Made | None:
        """Make a resource, None if it is of another kind."""
        how = {
            "AWS::AutoScaling::AutoScalingGroup": self._group,
            "AWS::EC2::LaunchTemplate": self._template,
            "AWS::EC2::Volume": self._volume,
            "AWS::IAM::InstanceProfile": self._profile,
            "AWS::Route53::HostedZone": self._zone,
        }.get(resource.type)
        return how(resource) if how else None

    def launch(self, group: str) -> Instance:
        """Launch an instance of a group, as Auto Scaling does.

        Args:
            group: The physical id of the group.
        """
        data, made = self._templates[self._groups[group]], f"i-{secrets.token_hex(9)[:17]}"
        [tags] = [it["Tags"] for it in data["TagSpecifications"] if it["ResourceType"] == "instance"]
        self.tags[arn_of("ec2", f"instance/{made}")] = {tag["Key"]: tag["Value"] for tag in tags}
        role = self._profiles[data["IamInstanceProfile"]["Arn"]]
        return Instance(made, role, b64decode(data["UserData"]).decode())

    def terminate(self, instance: str) -> None:
        """Terminate an instance, which detaches its volumes."""
        self._attached = {volume: owner for volume, owner in self._attached.items() if owner != instance}

    def wait_for_signal(self, host: str, timeout: float, *, boot: int = 1) -> Signal:
        """Wait for a signal of an instance, and return it; raises `TimeoutError`.

        Args:
            host: The id of the instance.
            timeout: For how many seconds to wait.
            boot: The number of the boot, from 1: a host signals once in each.
        """
        with self._signalled:
            if not self._signalled.wait_for(lambda: len(self._signals_of(host)) >= boot, timeout):
                raise TimeoutError(f"{host} has not signalled within {timeout} s")
            return self._signals_of(host)[boot - 1]

    def _signals_of(self, host: str) -> list[Signal]:
        return [signal for signal in self.signals if signal.id.startswith(host)]

    def answer(self, request: Request) -> Response | None:
        """Answer a call, None if it is of another kind."""
        how = {
            ("ec2", "AttachVolume"): self._attach_volume,
            ("route53", "ChangeResourceRecordSets"): self._set_names,
            ("cloudformation", "SignalResource"): self._signal,
        }.get((request.service, request.operation))
        return how(request) if how else None

    def _volume(self, resource: Resource) -> Made:
        made = Volume(f"vol-{secrets.token_hex(9)[:17]}", resource["Size"])
        self.volumes[made.id] = made
        return Made(made.id)

    def _group(self, resource: Resource) -> Made:
        self._groups[resource.name] = resource["LaunchTemplate"]["LaunchTemplateId"]
        return Made(resource.name)

    def _template(self, resource: Resource) -> Made:
        self._templates[resource.name] = resource["LaunchTemplateData"]
        return Made(resource.name, {"LatestVersionNumber": "1"})

    def _profile(self, resource: Resource) -> Made:
        arn = arn_of("iam", f"instance-profile/{resource.name}")
        [self._profiles[arn]] = resource["Roles"]
        return Made(resource.name, {"Arn": arn})

    def _zone(self, _: Resource) -> Made:
        return Made(f"Z{secrets.token_hex(8).upper()}")

    def _attach_volume(self, request: Request) -> Response:
        volume, instance = request.arguments["VolumeId"], request.arguments["InstanceId"]
        if self._attached.setdefault(volume, instance) != instance:
            return _error("VolumeInUse", f"{volume} is already attached to an instance")
        self.attach(instance, volume)
        said = f"<volumeId>{volume}</volumeId><instanceId>{instance}</instanceId><status>attaching</status>"
        return _xml(
            f'<AttachVolumeResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{said}</AttachVolumeResponse>'
        )

    def _set_names(self, request: Request) -> Response:
        for _, record in record_sets(request):
            [self.names[record["Name"].rstrip(".")]] = record["values"]
        change = "<Id>/change/C1</Id><Status>INSYNC</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>"
        name = "ChangeResourceRecordSetsResponse"
        return _xml(
            f'<{name} xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeInfo>{change}</ChangeInfo></{name}>'
        )

    def _signal(self, request: Request) -> Response:
        found = request.arguments
        made = Signal(found["StackName"], found["LogicalResourceId"], found["Status"], found["UniqueId"])
        with self._signalled:
            self.signals.append(made)
            self._signalled.notify_all()
        return _xml("<SignalResourceResponse/>")


def _error(code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return _xml(f"<Response><Errors>{error}</Errors></Response>", 400)


def _xml(body: str, status: int = 200) -> Response:
    return Response(body, status, content_type="text/xml")
