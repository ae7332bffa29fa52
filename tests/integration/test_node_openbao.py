"""A real OpenBao with the configuration of a node, in front of the syslog-ng of both hosts.

Only what this machine lacks differs from a host: the ports, the folders, and KMS, which a static key replaces.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.certificates import Authority
from testbed.lanes import Lane, LogServerHost, Node
from testbed.processes import end, start
from testbed.syslog_ng import search_path
from testbed.trees import may_mount
from testbed.vault_node import NodeConfiguration
from tests.support.waiting import eventually
from tests.unit.hosts.test_bootstrap import Attempted, Memory
from vaultwatch.hosts.bootstrap import Plan, VaultApi, audit_devices, bootstrap
from vaultwatch.hosts.rotation import unsent_lines
from vaultwatch.reading.records import split_tag

POLICY = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
pytestmark = pytest.mark.skipif(
    not (shutil.which("bao") and shutil.which("syslog-ng", path=search_path())), reason="no bao, or no syslog-ng"
)


class Hosts:
    """A node with OpenBao and a log server, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = Authority()
        self.server = LogServerHost(folder / "server", authority)
        self.node = Node(folder / "node", self.server.ports)
        authority.install(self.node.tls, authority.issue("vault-1", ["localhost"]))
        self.audit = folder / "audit"
        self.audit.mkdir()
        self.node.audit_file = self.audit / "audit.log"
        self.token = ""

    def start(self) -> None:
        self.server.start()
        self.node.start()
        # Only now: a node that finds its port taken starts on another one.
        server = NodeConfiguration(
            self._folder,
            tls=self.node.tls,
            audit=self.audit,
            audit_port=self.node.audit_port,
            key=self._folder / "key",
        )
        self.api = VaultApi(f"https://localhost:{server.port}", self.node.tls / "authority.pem")
        configuration = server.write()
        self._log = (self._folder / "openbao.log").open("wb")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        command = ["bao", "server", f"-config={configuration}"]
        self._openbao = start(command, self._log.fileno(), environment, self._folder)

    def set_up(self) -> None:
        """Bootstrap the cluster, and log in as its administrator."""
        plan = Plan(product="openbao", devices=audit_devices(str(self.audit), self.node.audit_port), policy=POLICY)
        password = Memory()
        bootstrap(
            self.api,
            plan,
            keys=Memory(),
            local=Memory(),
            attempt=Attempted(),
            password=password,
            report=lambda _: None,
            wait_seconds=60,
        )
        login = self.api.put("auth/userpass/login/administrator", {"password": password.value})
        self.token = login.body["auth"]["client_token"]

    def work(self, calls: int) -> None:
        """Make calls, each of which must succeed."""
        for number in range(calls):
            assert self.api.get(f"sys/policies/acl/default?call={number}", self.token).ok

    def stop(self) -> None:
        if self.server.syslog_ng.pid is not None:
            os.kill(self.server.syslog_ng.pid, signal.SIGCONT)
        end(self._openbao)
        self._log.close()
        self.node.syslog_ng.stop()
        self.server.syslog_ng.stop()

    def lane(self, lane: Lane) -> list[bytes]:
        found = map(split_tag, self.server.handled("audit"))
        return [line for origin, line in found if origin.lane == lane and line]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.stop()


def calls(lines: Sequence[bytes]) -> set[tuple[str, str]]:
    """Return id and type of entries: what both devices have in common, because each hashes with a salt of its own."""
    entries = [json.loads(line) for line in lines]
    return {
        (entry["request"]["id"], entry["type"]) for entry in entries if entry["request"]["path"] != "sys/audit/test"
    }


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, b"x" * 512):
            pass
    os.close(descriptor)
    assert os.statvfs(file.parent).f_bavail == 0


def test_what_both_devices_write_arrives_on_both_lanes(hosts: Hosts) -> None:
    hosts.start()
    hosts.set_up()
    hosts.work(100)
    written = (hosts.audit / "audit.log").read_bytes().splitlines()
    assert len(calls(written)) >= 200
    eventually(lambda: hosts.lane("file") == written)
    eventually(lambda: calls(hosts.lane("socket")) >= calls(written))


def test_no_client_waits_for_a_log_server_that_hangs_and_everything_arrives_later(hosts: Hosts) -> None:
    hosts.start()
    hosts.set_up()
    assert hosts.server.syslog_ng.pid is not None
    os.kill(hosts.server.syslog_ng.pid, signal.SIGSTOP)
    hosts.work(100)
    written = (hosts.audit / "audit.log").read_bytes().splitlines()
    os.kill(hosts.server.syslog_ng.pid, signal.SIGCONT)
    eventually(lambda: hosts.lane("file") == written)
    eventually(lambda: calls(hosts.lane("socket")) >= calls(written))
    assert unsent_lines(hosts.node.syslog_ng.statistics(), "d_vaultwatch_socket") == 0


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
def test_while_the_volume_of_the_audit_file_is_full_requests_are_answered_and_logged_by_the_socket(
    hosts: Hosts,
) -> None:
    """So rotated files may stay on that volume until S3 has them."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(hosts.audit)], check=True)
    try:
        hosts.start()
        hosts.set_up()
        fill(hosts.audit / "audit.log-20261128-101500")
        before = len(calls(hosts.lane("socket")))
        hosts.work(20)
        eventually(lambda: len(calls(hosts.lane("socket"))) >= before + 40)
    finally:
        hosts.stop()
        subprocess.run(["umount", str(hosts.audit)], check=True)
