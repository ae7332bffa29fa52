"""Machines that boot once for all tests of a module; `make hosts` runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbed.machines.hosts import LOG_SERVER, NODE, Hosts, deployed_hosts
from testbed.machines.requirements import missing
from tests.support.booted import Booted


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """A deployment whose hosts are not launched yet."""
    if reason := missing():
        pytest.skip(f"no machine boots here: {reason}")
    with deployed_hosts() as hosts:
        yield hosts


@pytest.fixture(scope="module")
def booted(hosts: Hosts) -> Booted:
    """A log server and a node, both ready."""
    booted = Booted(hosts, hosts.launch(LOG_SERVER), hosts.launch(NODE))
    for machine in (booted.log_server, booted.node):
        assert booted.wait_for_signal(machine) == "SUCCESS"
    return booted
