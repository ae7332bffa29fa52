"""An instance that is replaced: the next one has its volumes and its name, another address and another certificate."""

from __future__ import annotations

from functools import partial

from testbed.machines.hosts import LOG_SERVER, NODE
from tests.support.booted import LOGS, TLS, Booted, names, names_in
from tests.support.waiting import eventually

VANISHED = "net.ipv4.tcp_retries2"
"""After how many retries, some 100 seconds in all, a connection to a host that vanished fails."""


def test_a_log_server_that_is_replaced_has_all_logs_of_the_former_one_and_is_found_under_its_name(
    booted: Booted,
) -> None:
    before, certificate = names("before", 50), booted.log_server.run("cat", f"{TLS}/host.pem")
    address = booted.log_server.address
    booted.request(*before)
    eventually(partial(booted.log_server_has, before))
    assert booted.node.run("sysctl", "--values", VANISHED).strip() == "8"
    booted.node.run("sysctl", "--write", f"{VANISHED}=3")  # three seconds

    booted.log_server = booted.hosts.replace(LOG_SERVER)
    assert booted.wait_for_signal(booted.log_server) == "SUCCESS"

    def reconnected() -> bool:
        booted.request(*names("after", 5))
        return booted.has_brought("file", set(names("after", 5)))

    eventually(reconnected)
    assert booted.log_server.address != address
    assert booted.log_server.run("cat", f"{TLS}/host.pem") != certificate
    assert booted.log_server_has(before)


def test_a_node_that_is_replaced_sends_what_the_former_one_had_not_sent(booted: Booted) -> None:
    unsent, after = names("unsent", 2000), names("after-node", 20)
    certificate = booted.node.run("cat", f"{TLS}/host.pem")
    buffered = set(unsent[1000:])  # the kernels of both hosts hold the others, and lose them with the connection
    booted.hosts.network.cut(LOG_SERVER, off=True)
    try:
        booted.request(*unsent)
        eventually(lambda: booted.node.run("sh", "-c", f"cat {LOGS}/audit.log").count("unsent-1999") >= 2)
        booted.node = booted.hosts.replace(NODE)
    finally:
        booted.hosts.network.cut(LOG_SERVER, off=False)

    assert booted.wait_for_signal(booted.node) == "SUCCESS"
    booted.request(*after)

    eventually(partial(booted.has_brought, "file", {*after, *buffered}))
    assert set(unsent) <= names_in(booted.arrived("file")) | booted.names_on_node()
    assert booted.node.run("cat", f"{TLS}/host.pem") != certificate
    assert "nothing to do" in booted.node.journal("--unit=vaultwatch-bootstrap")
