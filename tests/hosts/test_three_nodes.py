"""Three nodes that form one cluster by themselves, and lose the one that leads it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from testbed.errors import TestbedError
from testbed.machines.hosts import LOG_SERVER, Hosts, deployed_hosts
from testbed.machines.machine import Machine
from testbed.machines.requirements import missing
from tests.support.booted import Booted

NODES = ("vault-1", "vault-2", "vault-3")


@pytest.fixture(scope="module")
def three() -> Iterator[Hosts]:
    """A log server and three nodes, launched at the same time, all ready."""
    if reason := missing():
        pytest.skip(f"no machine boots here: {reason}")
    with deployed_hosts(len(NODES)) as hosts:
        for name in (LOG_SERVER, *NODES):
            hosts.launch(name)
        for machine in hosts.machines.values():
            assert of(hosts).wait_for_signal(machine) == "SUCCESS"
        yield hosts


def of(hosts: Hosts, node: str = NODES[0]) -> Booted:
    return Booted(hosts, hosts.machines[LOG_SERVER], hosts.machines[node])


def health(machine: Machine) -> dict[str, object]:
    """Return what a node says about itself, {} if it says nothing."""
    url = f"https://{machine.name}.vaultwatch.internal:8200/v1/sys/health?standbycode=200"
    try:
        answer = machine.run("curl", "--silent", "--cacert", "/etc/vault.d/tls/authority.pem", url)
        return dict(json.loads(answer))
    except (TestbedError, json.JSONDecodeError):
        return {}


def leaders(hosts: Hosts) -> list[str]:
    found = {name: health(hosts.machines[name]) for name in NODES if hosts.machines[name].runs}
    return [name for name, said in found.items() if said.get("sealed") is False and said.get("standby") is False]


def test_one_node_initialises_the_cluster_and_the_others_join_it(three: Hosts) -> None:
    said = {name: three.machines[name].journal("--unit=vaultwatch-bootstrap") for name in NODES}

    assert said["vault-1"].count("the cluster is initialised") == 1
    for name in NODES[1:]:
        assert "vault-1.vaultwatch.internal sets up the cluster" in said[name]
    clusters = {health(three.machines[name])["cluster_id"] for name in NODES}
    assert len(clusters) == 1
    assert len(leaders(three)) == 1
