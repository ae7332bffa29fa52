"""The log server's files under a stream from a node: rotated by logrotate, on a full disk, and evaluated by `watch`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from testbed.certificates import Authority
from testbed.host_values import LOG_SERVER, rendered
from testbed.lanes import LogServerHost, Node
from testbed.log_server import VAULTWATCH
from testbed.syslog_ng import ASSETS, quotable, search_path
from testbed.trees import may_mount
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import alerts_in, entry, harmless
from vaultwatch.hosts.install.figures import dropped_lines
from vaultwatch.reading.records import split_tag

PROGRAMS = {
    name: shutil.which(name, path=search_path()) for name in ("syslog-ng", "syslog-ng-ctl", "logrotate", "zstd")
}
pytestmark = pytest.mark.skipif(not all(PROGRAMS.values()), reason="syslog-ng, logrotate or zstd is missing")


@contextmanager
def hosts(folder: Path, **options: object) -> Iterator[tuple[LogServerHost, Node]]:
    """A log server and a node, which is connected to it once both are started."""
    authority = Authority()
    server = LogServerHost(folder / "server", authority, **options)  # type: ignore[arg-type]
    node = Node(folder / "node", server.ports)
    authority.install(node.tls, authority.issue("vault-1"))
    try:
        yield server, node
    finally:
        node.syslog_ng.stop()
        server.syslog_ng.stop()


@contextmanager
def connected(node: Node) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", node.audit_port), timeout=HUNG_SECONDS) as connection:
        yield connection


def bare(lines: list[bytes]) -> list[bytes]:
    return [split_tag(line)[1] for line in lines]


class TestRotation:
    @staticmethod
    def rotate(configuration: Path, archive: Path) -> None:
        """Rotate once more: until there is a file more, because one in the same second keeps its name."""
        before = len(list(archive.glob("audit-*")))
        command = [str(PROGRAMS["logrotate"]), "--force", f"--state={configuration}.state", str(configuration)]

        def rotated() -> bool:
            subprocess.run(command, capture_output=True, check=False)
            return len(list(archive.glob("audit-*"))) > before

        eventually(rotated)

    def test_under_a_stream_it_loses_no_line_and_removes_no_file(self, tmp_path: Path) -> None:
        with hosts(tmp_path) as (server, node):
            server.start()
            node.start()
            text = rendered(LOG_SERVER)["/etc/logrotate.d/vaultwatch"]
            reopen = f"{PROGRAMS['syslog-ng-ctl']} reopen --control={server.syslog_ng.control}"
            assert "/usr/sbin/syslog-ng-ctl reopen" in text
            configuration = tmp_path / "logrotate.conf"
            configuration.write_text(
                text.replace("/usr/sbin/syslog-ng-ctl reopen", reopen).replace("/var/log/vault", str(server.logs))
            )
            configuration.chmod(0o600)
            sent: list[bytes] = []
            stop = Event()

            def stream() -> None:
                with connected(node) as vault:
                    while not stop.wait(0.001):
                        line = b'{"id": %d}' % len(sent)
                        vault.sendall(line + b"\n")
                        sent.append(line)

            sender = Thread(target=stream)
            sender.start()
            try:
                for _ in range(4):
                    enough = len(sent) + 200
                    eventually(lambda enough=enough: len(sent) >= enough)  # type: ignore[misc]
                    self.rotate(configuration, server.logs / "archive")
            finally:
                stop.set()
                sender.join()
            eventually(lambda: len(bare(server.handled("audit"))) == len(sent))
            files = sorted((server.logs / "archive").glob("audit-*"))
            compressed = [file for file in files if file.suffix == ".zst"]
            assert len(compressed) >= len(files) - 1 >= 3
            eventually(lambda: bare(self.lines(files, server.logs / "audit")) == sent)

    @staticmethod
    def lines(files: list[Path], last: Path) -> list[bytes]:
        found = b""
        for file in [*files, *([last] if last.exists() else [])]:
            command = [str(PROGRAMS["zstd"]), "-dc", str(file)]
            packed = file.suffix == ".zst"
            found += subprocess.run(command, capture_output=True, check=True).stdout if packed else file.read_bytes()
        return found.splitlines()


@pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")
def test_while_the_disk_of_the_logs_is_full_the_tailed_lane_is_evaluated_and_nothing_is_lost(tmp_path: Path) -> None:
    with hosts(tmp_path) as (server, node):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(server.logs)], check=True)
        try:
            server.start()
            node.start()
            filler = server.logs / "filler"
            filler.write_bytes(b"x" * (3 << 20))
            lines = [b'{"id": %d, "padding": "%s"}' % (number, b"x" * 1000) for number in range(2000)]
            with connected(node) as vault:
                vault.sendall(b"".join(line + b"\n" for line in lines))
            eventually(lambda: "No space left" in (server.folder / "syslog-ng.log").read_text())
            node.audit_file.write_bytes(b"".join(b'{"file": %d}\n' % number for number in range(2000)))
            eventually(lambda: sum(b"/file " in line for line in server.handled("audit")) == 2000)
            assert len(server.kept("audit")) < len(lines)
            filler.unlink()
            eventually(lambda: set(bare(server.kept("audit"))) >= set(lines))
        finally:
            node.syslog_ng.stop()
            server.syslog_ng.stop()
            subprocess.run(["umount", str(server.logs)], check=True)


def test_what_a_full_buffer_drops_is_counted_and_in_the_file(tmp_path: Path) -> None:
    """A handler that does not read, with a buffer of 2 MB: the host reports what was dropped, and the file has it."""
    handlers = "".join(
        f'destination d_vaultwatch_{service}_handler {{ program("exec cat >/dev/null" keep-alive(yes) disk-buffer('
        f'reliable(yes) disk-buf-size(2000000) mem-buf-size(1000000) dir("{quotable(tmp_path)}"))); }};\n'
        for service in ("audit", "server")
    )
    lines = [b'{"id": %d, "padding": "%s"}' % (number, b"x" * 1000) for number in range(4000)]
    with hosts(tmp_path, handlers=handlers) as (server, node):
        server.start()
        node.start()
        command = [str(PROGRAMS["syslog-ng-ctl"]), "stats", f"--control={server.syslog_ng.control}"]

        def dropped() -> int:
            return dropped_lines(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        assert dropped() == 0
        for pid in server.syslog_ng.programs():
            os.kill(pid, signal.SIGSTOP)
        with connected(node) as vault:
            vault.sendall(b"".join(line + b"\n" for line in lines))
        eventually(lambda: dropped() > 0)
        eventually(lambda: bare(server.kept("audit")) == lines)
        for pid in server.syslog_ng.programs():
            os.kill(pid, signal.SIGCONT)


def test_watch_on_the_log_server_names_the_node_of_an_alert(tmp_path: Path) -> None:
    settings = {"program": VAULTWATCH, "options": shlex.join(["--log-file", str(tmp_path / "watch.log")])}
    handlers = f'@include "{quotable(ASSETS / "vaultwatch-watch.conf")}"\n'
    with hosts(tmp_path, handlers=handlers, settings=settings) as (server, node):
        figures = server.state / "audit.stats"
        server.start(lambda: figures.exists() and figures.stat().st_size > 0, tmp_path / "watch.log")
        node.start()
        with connected(node) as vault:
            vault.sendall(harmless(0) + b"@other/vault-9/socket " + entry(1))
        eventually(lambda: alerts_in(server.logs / "audit.alert"))
        (alert,) = alerts_in(server.logs / "audit.alert")
        assert (alert["cluster"], alert["node"]) == ("demo", "vault-1")
        eventually(lambda: json.loads(figures.read_bytes())["audit"] == 2)
        assert json.loads(figures.read_bytes())["rejected"] == 0
