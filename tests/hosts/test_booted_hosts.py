"""A log server and a node of OpenBao, booted from the user data of the synthesized templates.

Everything on them is real: systemd, cloud-init, syslog-ng, nftables, OpenBao. See `testbed.machines` for what is not.
"""

from __future__ import annotations

import socket
import ssl
from functools import partial
from pathlib import Path

import pytest

from testbed.certificates import Authority
from testbed.errors import TestbedError
from testbed.machines.namespaces import inside_of
from tests.hosts.conftest import CRASHES
from tests.support.booted import AUDIT_FILE, TLS, Booted, names_in
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.hosts.install.services import SERVICES

PORTS = (1514, 1515, 1516)


def send(context: ssl.SSLContext, connection: socket.socket, data: bytes) -> None:
    """Send data over TLS, and wait until the other side answers or closes."""
    with context.wrap_socket(connection) as secure:
        secure.sendall(data)
        secure.recv(1)


def names(begin: str, count: int) -> list[str]:
    return [f"{begin}-{number}" for number in range(count)]


def test_a_node_that_loses_its_power_at_each_call_of_its_first_boot_goes_on_at_the_next(booted: Booted) -> None:
    assert booted.crashes == list(CRASHES)
    assert booted.wait_for_signal(booted.node) == "SUCCESS"


def test_both_hosts_install_themselves_and_signal_success(booted: Booted) -> None:
    assert booted.wait_for_signal(booted.log_server) == "SUCCESS"
    assert booted.wait_for_signal(booted.node) == "SUCCESS"


@pytest.mark.parametrize("role", SERVICES)
def test_every_service_of_a_host_runs_and_no_unit_has_failed(booted: Booted, role: str) -> None:
    machine = booted.node if role == "node" else booted.log_server
    booted.wait_for_signal(machine)

    states = {service: machine.properties(service)["ActiveState"] for service in SERVICES[role]}
    assert states == dict.fromkeys(SERVICES[role], "active")
    assert machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""


def test_what_vault_logs_arrives_on_every_lane_under_the_name_in_the_certificate(booted: Booted) -> None:
    booted.wait_for_signal(booted.node)
    asked = names("arrives", 20)

    booted.request(*asked)

    for lane in ("socket", "file"):
        eventually(partial(booted.has_brought, lane, set(asked)))
    eventually(lambda: any(b"core: " in line or b'"core"' in line for line in booted.arrived("server")))


def test_the_bootstrap_of_the_cluster_notifies(booted: Booted) -> None:
    booted.wait_for_signal(booted.node)
    posts = booted.hosts.deployment.slack.wait_for(1, HUNG_SECONDS)

    assert "vault-1" in str(posts[0].payload)


def test_reboots_of_the_log_server_and_of_the_node_lose_no_line_of_the_tailed_file(booted: Booted) -> None:
    booted.wait_for_signal(booted.log_server)
    booted.wait_for_signal(booted.node)

    booted.request(*names("before", 30))
    booted.log_server.shut_down()
    booted.request(*names("without", 30))
    booted.log_server.start()
    booted.request(*names("during", 30))
    booted.node.reboot()

    assert booted.wait_for_signal(booted.node, boot=2) == "SUCCESS"
    assert booted.wait_for_signal(booted.log_server, boot=2) == "SUCCESS"
    booted.request(*names("after", 30))
    written = names_in(booted.node.run("cat", AUDIT_FILE).encode().splitlines())
    assert {*names("before", 30), *names("without", 30), *names("during", 30), *names("after", 30)} <= written
    eventually(partial(booted.has_brought, "file", written))


@pytest.mark.parametrize("user", ["nobody", "root"])
def test_no_user_but_vaults_reaches_the_socket_of_the_audit_device(booted: Booted, user: str) -> None:
    booted.wait_for_signal(booted.node)

    with pytest.raises(TestbedError, match="refused"):
        booted.node.run("bash", "-c", "echo forged >/dev/tcp/127.0.0.1/1515", user=user)
    assert not any(b"forged" in line for line in booted.arrived("socket"))


def test_vaults_user_reaches_it(booted: Booted) -> None:
    booted.wait_for_signal(booted.node)

    booted.node.run("bash", "-c", ": >/dev/tcp/127.0.0.1/1515", user="vault")


@pytest.mark.parametrize("port", PORTS)
def test_a_certificate_of_another_authority_gets_no_line_in(booted: Booted, port: int, tmp_path: Path) -> None:
    booted.wait_for_signal(booted.log_server)
    other = Authority()
    other.install(tmp_path, other.issue("vault-1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(tmp_path / "host.pem", tmp_path / "host.key")

    with inside_of(booted.node.namespace):
        connection = socket.create_connection(("10.90.0.10", port), HUNG_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        send(context, connection, b"forged\n")

    assert b"forged" not in booted.log_server.run("cat", "/var/log/vault/audit", "/var/log/vault/messages").encode()


def test_a_renewed_certificate_is_in_use_without_a_lost_line(booted: Booted) -> None:
    booted.wait_for_signal(booted.node)
    before = booted.node.run("sha256sum", f"{TLS}/host.pem")

    for machine in (booted.log_server, booted.node):
        booted.request(*names(f"renewal-{machine.name}", 20))
        machine.run("rm", "-r", f"{TLS}/current")  # a host without a pair asks for one
        machine.run("systemctl", "start", "vaultwatch-certificate.service")
        booted.request(*names(f"renewed-{machine.name}", 20))

    assert booted.node.run("sha256sum", f"{TLS}/host.pem") != before
    written = names_in(booted.node.run("cat", AUDIT_FILE).encode().splitlines())
    eventually(partial(booted.has_brought, "file", written))
    eventually(partial(booted.has_brought, "socket", set(names("renewed-vault-1", 20))))
