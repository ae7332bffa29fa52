"""The hosts of a deployment as machines: they boot from the user data of its templates, on the local AWS."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from socket import SOCK_DGRAM
from typing import Any

from werkzeug.wrappers import Request

from testbed.aws import LocalAws
from testbed.aws.instances import Instance as Launched
from testbed.aws.server import Server
from testbed.aws.sts import Session
from testbed.certificates import Authority
from testbed.machines import disks, metadata, names
from testbed.machines.dns import NameServer
from testbed.machines.machine import Machine
from testbed.machines.namespaces import GATEWAY, METADATA, RESOLVER, Network

_ADDRESSES = {"log-server": "10.90.0.10", "vault-1": "10.90.0.11"}
_DISK_BYTES = 600 * 1024 * 1024


@dataclass
class Hosts:
    """The hosts of a deployment.

    Attributes:
        aws: The local AWS with its templates.
        tree: The base tree.
        releases: What servers of releases have, by URL.
        programs: Programs of this machine that hosts see, by the path where they do.
    """

    aws: LocalAws
    tree: Path
    releases: dict[str, bytes]
    programs: dict[str, Path] = field(default_factory=dict)
    authority: Authority = field(default_factory=Authority)
    machines: dict[str, Machine] = field(default_factory=dict)
    _by_instance: dict[str, Machine] = field(default_factory=dict)

    def __enter__(self) -> Hosts:
        disks.sweep()
        with ExitStack() as stack:
            prefix = disks.scratch_prefix()
            self.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
            self.network = stack.enter_context(Network())
            self.disks = disks.Disks(self.scratch)
            stack.callback(self.disks.close)
            self.metadata = metadata.Metadata()
            self._serve(stack)
            self.aws.instances.attach = self._attach
            stack.callback(self._remove)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def launch(self, name: str, group: str) -> Machine:
        """Launch the instance of a host, and start its machine.

        Args:
            name: The name of the host.
            group: The physical id of its group.
        """
        launched = self.aws.instances.launch(group)
        address = _ADDRESSES[name]
        namespace, folder = self.network.add_machine(name, address), self.scratch / launched.id
        machine = Machine(name, self.tree, folder, namespace, programs=self.programs)
        machine.write("/etc/ssl/certs/machine.pem", self.authority.pem.decode())
        machine.seed(launched.id, launched.user_data)
        self.metadata.instances[address] = self._instance(launched, address)
        self.machines[name] = self._by_instance[launched.id] = machine
        machine.start()
        return machine

    def _instance(self, launched: Launched, address: str) -> metadata.Instance:
        session = self.aws.sts.hand_out(Session(launched.role, launched.id))
        return metadata.Instance(launched.id, address, launched.user_data, lambda: session)

    def _serve(self, stack: ExitStack) -> None:
        tls = names.tls_for_public_names(self.authority, self.scratch)
        application: Any = names.public(self.aws.endpoint.application, self.releases)
        for server in (
            Server(application, self.network.listen(GATEWAY, 443), tls),
            Server(Request.application(self.metadata.respond), self.network.listen(METADATA, 80)),
            NameServer(self.network.listen(RESOLVER, 53, SOCK_DGRAM), self._resolve),
        ):
            stack.callback(server.close)

    def _resolve(self, name: str) -> str | None:
        return GATEWAY if names.is_public(name) else self.aws.instances.names.get(name)

    def _attach(self, instance: str, volume: str) -> None:
        disk = self.disks.made.get(volume) or self.disks.make(volume, _DISK_BYTES)
        self._by_instance[instance].attach(disk)

    def _remove(self) -> None:
        for machine in self.machines.values():
            machine.remove()
