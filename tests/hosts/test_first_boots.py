"""A first boot that ends at each of its steps: the next boot goes on where it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Queue
from typing import NamedTuple

import pytest

from testbed.aws import Call
from testbed.errors import TestbedError
from testbed.machines.hosts import LOG_SERVER, NODE, Hosts
from testbed.machines.machine import Machine
from tests.support.booted import Booted, names
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.hosts.install.names import NAME
from vaultwatch.hosts.install.server import SERVER
from vaultwatch.hosts.install.services import CERTIFICATE, FILES, RUNNING, SERVICES
from vaultwatch.hosts.install.volumes import ATTACHED, FORMATTED, MOUNTED

STEPS = (ATTACHED.name, FORMATTED.name, MOUNTED.name, NAME.name, FILES.name, CERTIFICATE.name, RUNNING.name)
"""The steps of the installation that a log server begins: it loses its power a moment after each has begun.

All others find at its first boot that nothing is left to do. `tests/unit/hosts/test_install.py` kills a host before and
after each program that a step runs.
"""


class At(NamedTuple):
    """A call of AWS at which the node loses its power, before AWS gets it."""

    operation: str


NODE_POINTS: tuple[At | str, ...] = (
    At("GetObject"),  # it fetches the host bundle
    At("AttachVolume"),
    FORMATTED.name,
    MOUNTED.name,
    At("ChangeResourceRecordSets"),  # it sets its name
    SERVER.name,
    FILES.name,
    At("Invoke"),  # it asks for a certificate
    RUNNING.name,
    At("PutSecretValue"),  # Vault has made the recovery keys, and nobody has them
    At("TagResource"),  # the cluster is set up
    At("SignalResource"),
)
"""Where the node loses its power, in this order: at calls, and a moment after steps have begun."""


@pytest.fixture(scope="module")
def crashed(hosts: Hosts) -> Iterator[Booted]:
    """A log server and a node that booted for the first time again and again."""
    log_server = hosts.launch(LOG_SERVER)
    with ThreadPoolExecutor(1) as meanwhile:
        done = meanwhile.submit(crash_at_steps, log_server)
        node = launch_and_crash(hosts, NODE, NODE_POINTS)
        done.result()
        yield Booted(hosts, log_server, node)  # a machine ends with the thread that started it


def crash_at_steps(log_server: Machine) -> None:
    for step in STEPS:
        eventually(partial(has_begun, log_server, step))
        log_server.lose_power()
        log_server.start()


def has_begun(machine: Machine, step: str) -> bool:
    try:
        return f"{step}: begun" in machine.journal("--unit=vaultwatch-boot")
    except TestbedError:  # it has not started yet
        return False


def launch_and_crash(hosts: Hosts, name: str, points: Sequence[At | str]) -> Machine:
    """Launch a host that loses its power once at each of these points."""
    lost, left = Queue[str](), list(points)

    def fault(call: Call) -> str:
        if call.role.startswith("Vault1Role") and left and left[0] == At(call.operation):
            left.pop(0)
            machine.lose_power()
            lost.put(call.operation)
            return "ServiceUnavailable"  # which nobody reads
        return ""

    hosts.deployment.aws.endpoint.fault = fault
    machine = hosts.launch(name)
    for point in points:
        if isinstance(point, At):
            assert lost.get(timeout=HUNG_SECONDS) == point.operation
        else:
            eventually(partial(has_begun, machine, point))
            machine.lose_power()
            left.pop(0)
        machine.start()
    return machine


def test_hosts_that_lose_their_power_at_each_step_of_the_first_boot_are_ready_at_the_next(crashed: Booted) -> None:
    for machine, role in ((crashed.log_server, "log-server"), (crashed.node, "node")):
        assert crashed.wait_for_signal(machine) == "SUCCESS"
        assert crashed.states(machine, SERVICES[role]) == dict.fromkeys(SERVICES[role], "active")


def test_a_cluster_whose_keys_were_lost_with_the_power_was_initialised_again(crashed: Booted) -> None:
    said = crashed.node.journal("--unit=vaultwatch-bootstrap")

    assert said.count("the cluster is initialised") == 2
    assert said.count("its storage is moved aside") == 1
    assert "unused." in crashed.node.run("ls", "/var/lib/vault")


def test_their_lines_arrive(crashed: Booted) -> None:
    asked = names("after-all", 20)

    crashed.request(*asked)

    for lane in ("socket", "file"):
        eventually(partial(crashed.has_brought, lane, set(asked)))
