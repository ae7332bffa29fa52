"""Three nodes that form one cluster by themselves, and lose the one that leads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from testbed.errors import TestbedError
from testbed.machines.hosts import LOG_SERVER, Hosts, deployed_hosts
from testbed.machines.machine import Machine
from testbed.machines.requirements import missing
from tests.support.booted import Booted, names
from tests.support.waiting import eventually

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


def test_when_the_leader_loses_its_power_another_node_leads_and_its_entries_arrive_under_its_own_name(
    three: Hosts,
) -> None:
    [former] = leaders(three)
    eventually(lambda: three.machines[former].journal("--unit=vault").lower().count("promoting server") >= 2)  # voters
    three.machines[former].lose_power()
    eventually(partial(leaders, three))
    [leader] = leaders(three)
    booted, asked = of(three, leader), names("after-election", 20)

    booted.request(*asked)

    for lane in ("socket", "file"):
        eventually(partial(booted.has_brought, lane, set(asked)))

    signals = booted.boots(three.machines[former])
    three.machines[former].start()
    assert booted.wait_for_signal(three.machines[former], boot=signals + 1) == "SUCCESS"
    assert leaders(three) == [leader]
    said = "".join(three.machines[name].journal("--unit=vaultwatch-bootstrap") for name in NODES)
    assert said.count("the cluster is initialised") == 1
