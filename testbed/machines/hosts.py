"""The hosts of a deployment as machines: they boot from the user data of its templates, on the local AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from socket import SOCK_DGRAM
from typing import Any

from werkzeug.wrappers import Request

from testbed.aws.instances import Instance as Launched
from testbed.aws.server import Server
from testbed.aws.sts import Session
from testbed.aws.template import REGION
from testbed.certificates import Authority
from testbed.deployment import Deployment, deploy
from testbed.errors import TestbedError
from testbed.machines import disks, metadata, names, releases
from testbed.machines.build import VERSION, build_hosts
from testbed.machines.dns import NameServer
from testbed.machines.machine import Machine
from testbed.machines.namespaces import GATEWAY, METADATA, RESOLVER, Network
from testbed.machines.tree import base_tree

LOG_SERVER, NODE = "log-server", "vault-1"
"""The names of the log server and of the first node; other nodes are "vault-2", "vault-3" and so on."""
_DISK_BYTES = 600 * 1024 * 1024  # of each volume, whatever its size in the template
_BUNDLE = re.compile(r'url = "https://(?P<bucket>[^.]+)\.s3\.[^/]+/(?P<key>[^"]+)"')


@dataclass
class Hosts:
    """The hosts of a deployment.

    Attributes:
        deployment: The deployment, on the local AWS.
        tree: The base tree.
        bundle: The host bundle.
        published: What servers of releases have, by URL.
        programs: Programs of this machine that hosts see, by the path where they do.
        authority: It certifies the names of AWS and of the servers of releases.
        machines: The machines, by the name of the host.
    """

    deployment: Deployment
    tree: Path
    bundle: Path
    published: Mapping[str, bytes]
    programs: Mapping[str, Path]
    authority: Authority = field(default_factory=Authority)
    machines: dict[str, Machine] = field(default_factory=dict)
    _addresses: Iterator[int] = field(default_factory=lambda: count(10))

    def __enter__(self) -> Hosts:
        disks.sweep()
        with ExitStack() as stack:
            self.scratch = stack.enter_context(disks.scratch())
            self.network = stack.enter_context(Network())
            self.disks = disks.Disks(self.scratch)
            stack.callback(self.disks.close)
            self.metadata = metadata.Metadata()
            self._serve(stack)
            self._instances.attach = self._attach
            stack.callback(self._remove)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def launch(self, name: str) -> Machine:
        """Launch the instance of a host, and start its machine.

        Args:
            name: The name of the host.
        """
        launched = self._instances.launch(self.deployment.aws.physical_id(*_group(name)))
        self._upload(launched.user_data)
        address, folder = f"10.90.0.{next(self._addresses)}", self.scratch / launched.id
        namespace = self.network.add_machine(name, address)
        machine = Machine(name, address, self.tree, folder, namespace, programs=self.programs)
        machine.write("/etc/ssl/certs/machine.pem", self.authority.pem.decode())
        machine.seed(launched.id, launched.user_data)
        self.metadata.instances[address] = self._instance(launched, address)
        self.machines[name] = machine
        machine.start()
        return machine

    def replace(self, name: str) -> Machine:
        """Terminate the instance of a host at once, and launch another one, which has its volumes and a new address.

        Args:
            name: The name of the host.
        """
        former = self.machines.pop(name)
        former.remove()
        self.network.remove_machine(name)
        self._instances.terminate(former.instance)
        return self.launch(name)

    @property
    def _instances(self) -> Any:
        return self.deployment.aws.instances

    def _instance(self, launched: Launched, address: str) -> metadata.Instance:
        session = self.deployment.aws.sts.hand_out(Session(launched.role, launched.id))
        return metadata.Instance(launched.id, address, launched.user_data, lambda: session)

    def _upload(self, user_data: str) -> None:
        """Upload the host bundle to where the user data expects it, as a deployment by the CDK does."""
        found, s3 = _BUNDLE.search(user_data), self.deployment.aws.client("s3")
        if found is None:
            raise TestbedError("the user data names no host bundle")
        existing = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        if found["bucket"] not in existing:
            s3.create_bucket(Bucket=found["bucket"], CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket=found["bucket"], Key=found["key"], Body=self.bundle.read_bytes())

    def _serve(self, stack: ExitStack) -> None:
        tls = names.tls_for_public_names(self.authority, self.scratch)
        application: Any = names.public(self.deployment.aws.endpoint.application, self.published)
        for server in (
            Server(application, self.network.listen(GATEWAY, 443), tls),
            Server(Request.application(self.metadata.respond), self.network.listen(METADATA, 80)),
            NameServer(self.network.listen(RESOLVER, 53, SOCK_DGRAM), self._resolve),
        ):
            stack.callback(server.close)

    def _resolve(self, name: str) -> str | None:
        if names.is_public(name):
            return GATEWAY
        found: str | None = self._instances.names.get(name)
        return found

    def _attach(self, instance: str, volume: str) -> None:
        [machine] = [it for it in self.machines.values() if it.instance == instance]
        machine.attach(self.disks.made.get(volume) or self.disks.make(volume, _DISK_BYTES))

    def _remove(self) -> None:
        for machine in self.machines.values():
            machine.remove()


def _group(name: str) -> tuple[str, str]:
    """Return the stack and the construct path of a host's Auto Scaling group."""
    if name == LOG_SERVER:
        return "vaultwatch-log-server", "Host/Group"
    return "vaultwatch-vault", f"{name.title().replace('-', '')}/Group"


@contextmanager
def deployed_hosts(nodes: int = 1) -> Iterator[Hosts]:
    """Deploy a log server and nodes of OpenBao, of which none is launched yet.

    Args:
        nodes: The number of nodes.

    Yields:
        The hosts.

    Raises:
        TestbedError: Something that they need is missing.
    """
    found = releases.openbao(VERSION)
    built = build_hosts(found.sha256, nodes)
    published = {found.url: found.content}
    programs = {releases.REAL: found.program} if found.program else {}
    with (
        deploy(built.templates, built.code) as deployment,
        Hosts(deployment, base_tree(), built.bundle, published, programs) as hosts,
    ):
        yield hosts
        # `ship` asks whether the bucket for large lines exists; with the permissions of a host, 403 says that it does.
        calls = deployment.aws.endpoint.calls
        calls[:] = [call for call in calls if not (call.refused and call.operation == "HeadBucket")]
