"""A log server and a node of OpenBao, booted from the user data of the synthesized templates.

Everything on them is real: systemd, cloud-init, syslog-ng, nftables, OpenBao. See `testbed.machines` for what is not.
No test depends on what another one has left; requests of each have names of their own.
"""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from testbed.aws import Call
from testbed.certificates import Authority
from testbed.errors import TestbedError
from testbed.machines.hosts import LOG_SERVER
from testbed.machines.machine import Machine
from tests.support.booted import LOGS, TLS, Booted, names, names_in
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.hosts.install.services import SERVICES

LANES = {"server": 1514, "socket": 1515, "file": 1516}

ROTATED_AT = f"{LOGS}/.audit.log.rotated"


class TestDayOne:
    """What `make test` sees where the base tree exists: both hosts boot, and an alert reaches Slack."""

    def test_every_service_runs_and_no_unit_has_failed(self, booted: Booted) -> None:
        for machine, role in ((booted.log_server, "log-server"), (booted.node, "node")):
            assert booted.states(machine, SERVICES[role]) == dict.fromkeys(SERVICES[role], "active")
            machine.run("systemctl", "start", "vaultwatch-ready.service")  # fails by design while a host boots
            assert machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""

    def test_what_vault_logs_arrives_on_every_lane_under_the_name_in_the_certificate(self, booted: Booted) -> None:
        asked = names("arrives", 20)

        booted.request(*asked)

        for lane in ("socket", "file"):
            eventually(partial(booted.has_brought, lane, set(asked)))
            assert booted.tagged(lane) >= set(asked)
        eventually(lambda: any(b"core: " in line or b'"core"' in line for line in booted.arrived("server")))

    def test_the_bootstrap_of_the_cluster_notifies(self, booted: Booted) -> None:
        posts = booted.hosts.deployment.slack.wait_for(1, HUNG_SECONDS)

        assert "vault-1" in str(posts[0].payload)


class TestArchive:
    """A rotation and its upload; the hour that a rotation waits for is written back instead."""

    def test_the_log_servers_logs_are_archived_with_their_tags(self, booted: Booted) -> None:
        asked = names("archived", 10)
        booted.request(*asked)
        eventually(partial(booted.log_server_has, asked))
        booted.rotate_on_log_server()
        booted.request(*names("archived-later", 10))  # the second rotation compresses what the first one has renamed
        eventually(partial(booted.log_server_has, names("archived-later", 10)))
        booted.rotate_on_log_server()

        booted.upload(booted.log_server)

        lines = booted.archived("audit", "log-server")
        assert names_in(lines, tag=b"@vaultwatch/vault-1/socket ") >= set(asked)

    def test_the_file_of_the_node_is_archived_by_the_node_itself(self, booted: Booted) -> None:
        asked, later = names("archived-by-node", 10), names("after-rotation", 10)
        booted.request(*asked)
        eventually(partial(booted.has_brought, "file", set(asked)))

        booted.node.run("touch", "-d-2hours", ROTATED_AT)
        booted.node.run("systemctl", "start", "vaultwatch-rotate.service")
        booted.request(*later)
        eventually(partial(booted.has_brought, "file", set(later)))  # so syslog-ng has closed the rotated file
        booted.upload(booted.node)

        assert names_in(booted.archived("audit-file", "vault-1")) >= set(asked)


class TestFailures:
    def test_while_the_disk_of_the_log_server_is_full_vault_answers_and_alerts_go_on(self, booted: Booted) -> None:
        asked = names("full", 200)
        fill = f"dd if=/dev/zero of={LOGS}/full bs=4k; sync"
        booted.log_server.run("sh", "-c", fill, check=False)

        booted.request(*asked)
        eventually(lambda: "No space left on device" in booted.log_server.journal("--unit=syslog-ng"))
        eventually(partial(booted.has_brought, "file", set(asked)))
        booted.log_server.run("rm", f"{LOGS}/full")

        eventually(partial(booted.has_brought, "socket", set(asked)))
        eventually(partial(booted.log_server_has, asked))

    def test_while_the_log_server_is_unreachable_vault_answers_and_no_file_is_rotated(self, booted: Booted) -> None:
        """An hour of it, for all that looks at the time of files.

        The clock itself cannot be moved: machines share it with this one, and a time namespace has an offset for the
        monotonic clocks only (time_namespaces(7)). So the last rotation is moved into the past instead.
        """
        asked = names("unreachable", 1500)  # more than the kernels of both hosts hold
        booted.hosts.network.cut(LOG_SERVER, off=True)
        try:
            booted.request(*asked)
            booted.node.run("touch", "-d-2hours", ROTATED_AT)
            booted.node.run("systemctl", "start", "vaultwatch-rotate.service")
            assert "not rotated: syslog-ng has" in booted.node.journal("--unit=vaultwatch-rotate")
        finally:
            booted.hosts.network.cut(LOG_SERVER, off=False)

        for lane in ("socket", "file"):
            eventually(partial(booted.has_brought, lane, set(asked)))

    def test_a_log_server_that_shuts_down_sends_what_its_handlers_have_read(self, booted: Booted) -> None:
        asked = names("read", 50)
        endpoint, refused, end = booted.hosts.deployment.aws.endpoint, Event(), Event()

        def fault(call: Call) -> str:
            if call.operation != "PutRecords" or end.is_set():
                return ""
            refused.set()
            return "ProvisionedThroughputExceededException"

        endpoint.fault = fault
        try:
            booted.request(*asked)
            eventually(partial(booted.log_server_has, asked))
            assert refused.wait(HUNG_SECONDS)
            booted.log_server.run("systemctl", "stop", "--no-block", "syslog-ng.service")
            eventually(lambda: booted.log_server.journal("--unit=syslog-ng").count("end of input") >= 2)
        finally:
            end.set()
        eventually(lambda: booted.states(booted.log_server, ["syslog-ng.service"]) == {"syslog-ng.service": "inactive"})
        arrived = names_in(booted.arrived("socket"))
        booted.log_server.run("systemctl", "start", "syslog-ng.service")

        assert arrived >= set(asked)

    def test_reboots_of_the_log_server_and_of_the_node_lose_no_line_of_the_tailed_file(self, booted: Booted) -> None:
        """Except for what is in the kernels when the log server stops, which the node itself uploads to the archive."""
        signals = {machine.name: booted.boots(machine) for machine in (booted.log_server, booted.node)}
        in_flight, arriving = set(names("in-flight", 30)), set(names("without", 30) + names("during", 30))

        booted.request(*in_flight)
        booted.log_server.shut_down()
        booted.request(*names("without", 30))
        booted.log_server.start()
        booted.request(*names("during", 30))
        booted.node.reboot()

        for machine in (booted.node, booted.log_server):
            assert booted.wait_for_signal(machine, boot=signals[machine.name] + 1) == "SUCCESS"
        eventually(partial(booted.has_brought, "file", arriving))
        assert in_flight <= names_in(booted.arrived("file")) | booted.names_on_node()

    @pytest.mark.parametrize("order", [("node", "log_server"), ("both",)], ids="-then-".join)
    def test_in_whatever_order_both_hosts_reboot_every_entry_is_archived_and_both_lanes_work_again(
        self, booted: Booted, order: tuple[str, ...]
    ) -> None:
        """The log server before the node: see the test before this one."""
        asked: set[str] = set()

        def ask(moment: str) -> set[str]:
            new = names(f"{moment}-{'-'.join(order)}", 30)
            booted.request(*new)
            asked.update(new)
            return set(new)

        ask("before")
        for name in order:
            machines = [booted.log_server, booted.node] if name == "both" else [getattr(booted, name)]
            signals = [booted.boots(machine) for machine in machines]
            with ThreadPoolExecutor() as pool:
                list(pool.map(Machine.shut_down, machines))
            for machine in machines:
                machine.start()  # in this thread, with whose end it would end
            for machine, boots in zip(machines, signals, strict=True):
                assert booted.wait_for_signal(machine, boot=boots + 1) == "SUCCESS"
            ask(f"after-{name}")
        last = ask("last")

        for lane in ("file", "socket"):
            eventually(partial(booted.has_brought, lane, last))
        booted.upload(booted.node)
        assert names_in(booted.archived("audit-file", "vault-1")) >= asked


class TestIntruders:
    @pytest.mark.parametrize("user", ["nobody", "root"])
    def test_no_user_but_vaults_reaches_the_socket_of_the_audit_device(self, booted: Booted, user: str) -> None:
        with pytest.raises(TestbedError, match="refused"):
            booted.node.run("bash", "-c", "echo forged >/dev/tcp/127.0.0.1/1515", user=user)
        assert not any(b"forged" in line for line in booted.arrived("socket"))

    def test_vaults_user_reaches_it(self, booted: Booted) -> None:
        booted.node.run("bash", "-c", ": >/dev/tcp/127.0.0.1/1515", user="vault")

    @pytest.mark.parametrize("port", LANES.values(), ids=LANES)
    def test_a_certificate_of_another_authority_gets_no_line_in(
        self, booted: Booted, port: int, tmp_path: Path
    ) -> None:
        other = Authority()
        other.install(tmp_path, other.issue("vault-1"))

        with pytest.raises((ssl.SSLError, ConnectionError)):
            booted.send(tmp_path, port, b"forged\n")

        assert b"forged" not in booted.log_server.run("cat", f"{LOGS}/audit", f"{LOGS}/messages").encode()

    @pytest.mark.parametrize("port", LANES.values(), ids=LANES)
    def test_an_expired_certificate_of_the_own_authority_gets_no_line_in(
        self, booted: Booted, port: int, tmp_path: Path
    ) -> None:
        booted.issue_expired("vault-1", tmp_path)

        with pytest.raises((ssl.SSLError, ConnectionError)):
            booted.send(tmp_path, port, b"expired\n")

        assert b"expired" not in booted.log_server.run("cat", f"{LOGS}/audit", f"{LOGS}/messages").encode()


@pytest.mark.parametrize("host", ["log_server", "node"])
def test_a_certificate_is_renewed_under_load_without_a_lost_line(booted: Booted, host: str) -> None:
    machine: Machine = getattr(booted, host)
    before, end, asked = machine.run("sha256sum", f"{TLS}/host.pem"), Event(), list[str]()

    def ask() -> None:
        while not end.is_set():
            asked.extend(some := names(f"renewal-{host}-{len(asked)}", 20))
            booted.request(*some)

    load = Thread(target=ask)
    load.start()
    try:
        machine.run("rm", "-r", f"{TLS}/current")  # a host without a pair asks for one
        machine.run("systemctl", "start", "vaultwatch-certificate.service")
    finally:
        end.set()
        load.join()
    last = names(f"renewed-{host}", 20)
    booted.request(*last)

    assert machine.run("sha256sum", f"{TLS}/host.pem") != before
    eventually(partial(booted.has_brought, "file", {*asked, *last}))
    eventually(partial(booted.has_brought, "socket", set(last)))
