"""Machines that boot once for all tests of this folder; `make hosts` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue

import pytest

from testbed.aws import Call
from testbed.machines.hosts import LOG_SERVER, NODE, Hosts, deployed_hosts
from testbed.machines.requirements import missing
from tests.support.booted import Booted
from tests.support.waiting import HUNG_SECONDS

CRASHES = ("GetObject", "AttachVolume", "ChangeResourceRecordSets", "Invoke", "SignalResource")
"""The calls of AWS that a host makes while it installs itself, in their order: its bundle is the first."""


@pytest.fixture(scope="session")
def booted() -> Iterator[Booted]:
    """A log server and a node. The node loses its power at its first call of each kind, and boots again."""
    if reason := missing():
        pytest.skip(f"no machine boots here: {reason}")
    with deployed_hosts() as hosts:
        hosts.launch(LOG_SERVER)
        crashes = launch_and_crash(hosts, NODE, CRASHES)
        yield Booted(hosts, crashes)


def launch_and_crash(hosts: Hosts, name: str, at: tuple[str, ...]) -> list[str]:
    """Launch a host that loses its power at each of these calls, before AWS gets it; return the calls."""
    lost, left = Queue[str](), list(at)

    def fault(call: Call) -> str:
        if call.role.startswith("Vault1Role") and call.operation in left:
            left.remove(call.operation)
            machine.lose_power()
            lost.put(call.operation)
            return "ServiceUnavailable"  # which nobody reads
        return ""

    hosts.deployment.aws.endpoint.fault = fault
    machine = hosts.launch(name)
    found = []
    for _ in at:
        found.append(lost.get(timeout=HUNG_SECONDS))
        machine.start()
    return found
