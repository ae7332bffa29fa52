"""A node and the log server, with the syslog-ng files of the hosts and mutual TLS: what arrives, and whose name it has.

Each test runs with the installed syslog-ng and, if there is a Debian 13 tree, with that of Debian 13.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Thread

import pytest

from testbed.certificates import EXPIRED, Authority
from testbed.lanes import LANES, Lane, LogServerHost, Node
from testbed.log_server import SERVICES
from testbed.syslog_ng import search_path
from testbed.trees import debian_13, may_mount
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Counts
from vaultwatch.hosts.rotation import unsent_lines
from vaultwatch.reading.records import Origin, split_tag
from vaultwatch.rules.pack import shipped_rules

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng", path=search_path()) is None, reason="syslog-ng is missing")


LONG_LINE_MIB = 90


class Pair:
    """A log server and one node, which end with the test."""

    def __init__(self, folder: Path, tree: Path | None) -> None:
        self.folder = folder
        self.tree = tree
        self.authority = Authority()
        self.server = LogServerHost(folder / "server", self.authority, tree=tree)
        self.nodes: list[Node] = []

    def node(self, name: str = "vault-1", *, buffer_bytes: int = 1 << 30, mark_seconds: int = 60) -> Node:
        """Return a node with a certificate of its name, which is not started."""
        folder = self.folder / f"node-{len(self.nodes)}"
        node = Node(folder, self.server.ports, buffer_bytes=buffer_bytes, mark_seconds=mark_seconds, tree=self.tree)
        self.authority.install(node.tls, self.authority.issue(name))
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        for syslog_ng in (*(node.syslog_ng for node in self.nodes), self.server.syslog_ng):
            for pid in [*syslog_ng.programs(), syslog_ng.pid]:
                if pid is not None:
                    os.kill(pid, signal.SIGCONT)
            syslog_ng.kill()


@pytest.fixture(params=["installed", "debian-13"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    tree = debian_13() if request.param == "debian-13" else None
    if request.param == "debian-13" and (tree is None or not may_mount()):
        pytest.skip("there is no Debian 13 tree, or only root may run it")
    pair = Pair(tmp_path, tree)
    try:
        yield pair
    finally:
        pair.stop()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=HUNG_SECONDS) as connection:
        yield connection


def send(node: Node, lane: Lane, lines: Sequence[bytes]) -> None:
    """Write lines as Vault's audit devices and its unit do."""
    text = b"".join(line + b"\n" for line in lines)
    if lane == "file":
        with node.audit_file.open("ab") as file:
            file.write(text)
        return
    with connected(node.audit_port if lane == "socket" else node.journal_port) as connection:
        connection.sendall(text)


def entries(lane: str, count: int, first: int = 0, padding: int = 0) -> list[bytes]:
    end = b'", "padding": "' + b"x" * padding + b'"}' if padding else b'"}'
    return [b'{"id": "%s-%d' % (lane.encode(), number) + end for number in range(first, first + count)]


def arrived(server: LogServerHost, lane: Lane) -> list[bytes]:
    """Return the lines of a lane that the handler was given, without tags and without the node's minute marks."""
    tagged = map(split_tag, server.handled("server" if lane == "server" else "audit"))
    return [line for origin, line in tagged if origin.lane == lane and line]


def wait_for(server: LogServerHost, lane: Lane, lines: Sequence[bytes], *, twice: bool = False) -> None:
    """Wait until exactly these lines of a lane have arrived, in order; with `twice`, in any order and repeated."""

    def all_arrived() -> bool:
        found = arrived(server, lane)
        return set(found) == set(lines) if twice else found == list(lines)

    eventually(all_arrived)


def wait_for_kept(server: LogServerHost, lane: Lane, lines: Sequence[bytes]) -> None:
    """Wait until the log file of a lane's service has exactly these lines, each with a tag of the cluster."""

    def all_kept() -> bool:
        found = [split_tag(line) for line in server.kept("messages" if lane == "server" else "audit")]
        return [(origin.cluster, line) for origin, line in found] == [("demo", line) for line in lines]

    eventually(all_kept)


def origins(server: LogServerHost) -> set[Origin]:
    """Return the origins of all lines of both handlers.

    A first line that is read together with the end of the TLS handshake has the node's address in place of its name.
    """
    lines = [split_tag(line)[0] for service in SERVICES for line in server.handled(service)]
    return {origin for origin in lines if origin.node != "127.0.0.1"}


def send_long_line(node: Node, server: LogServerHost, sent: list[int], at: int) -> None:
    """Send a long line with the certificate of a node, until the log server ends; `sent[at]` is how many MiB of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.load_verify_locations(node.tls / "authority.pem")
    context.load_cert_chain(node.tls / "host.pem", node.tls / "host.key")
    with suppress(OSError), connected(server.ports["file"]) as plain, context.wrap_socket(plain) as connection:
        for _ in range(LONG_LINE_MIB):
            connection.sendall(b"x" * (1 << 20))
            sent[at] += 1


def queued(node: Node, lane: Lane) -> int:
    return unsent_lines(node.syslog_ng.statistics(), f"d_vaultwatch_{lane}")


def processed(node: Node, lane: Lane) -> int:
    found = re.search(rf"destination;d_vaultwatch_{lane};;a;processed;(\d+)", node.syslog_ng.statistics())
    return int(found[1]) if found else 0


class TestArrival:
    def test_all_three_lanes_arrive_with_the_name_in_the_certificate(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 3))
        for lane in LANES:
            wait_for(pair.server, lane, entries(lane, 3))
        assert origins(pair.server) == {Origin("demo", "vault-1", lane) for lane in LANES}

    @pytest.mark.parametrize("lane", LANES)
    def test_a_line_that_names_another_node_is_not_believed(self, pair: Pair, lane: Lane) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        forged = [b"@other/vault-9/%s " % lane.encode() + line for line in entries(lane, 2)]
        send(node, lane, [b"{}", *forged])
        wait_for(pair.server, lane, [b"{}", *forged])
        assert origins(pair.server) <= {Origin("demo", "vault-1", lane)}
        wait_for_kept(pair.server, lane, [] if lane == "file" else [b"{}", *forged])

    def test_two_nodes_keep_their_names(self, pair: Pair) -> None:
        pair.server.start()
        for number, name in enumerate(("vault-1", "vault-2")):
            node = pair.node(name)
            node.start()
            send(node, "socket", entries("socket", 2, first=number * 2))
        eventually(lambda: len(arrived(pair.server, "socket")) == 4)
        assert origins(pair.server) == {Origin("demo", "vault-1", "socket"), Origin("demo", "vault-2", "socket")}

    def test_a_name_that_no_tag_can_hold_is_made_one(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node("a/b/file c\nd")
        node.start()
        send(node, "socket", entries("socket", 2))
        eventually(lambda: len(arrived(pair.server, "socket")) == 2)
        assert {(origin.cluster, origin.lane) for origin in origins(pair.server)} == {("demo", "socket")}

    def test_the_files_hold_tagged_lines_of_the_socket_and_the_server_log(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 2))
        eventually(lambda: all(len(arrived(pair.server, lane)) == 2 for lane in LANES))
        for lane in ("socket", "server"):
            wait_for_kept(pair.server, lane, entries(lane, 2))

    @pytest.mark.parametrize("lane", LANES)
    def test_a_line_of_twenty_mebibytes_and_bytes_that_are_no_text_arrive_as_they_are(
        self, pair: Pair, lane: Lane
    ) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        lines = [b"  two spaces", b"<13>no header", b"\xff\xfe", b"y" * (20 << 20), b"{}"]
        send(node, lane, lines)
        wait_for(pair.server, lane, lines)

    def test_what_another_unit_logs_is_not_vaults_server_log(self, pair: Pair) -> None:
        """Any local user may log as the program `vault`; journald says which unit it really was."""
        configuration = pair.node().configuration().replace('set("vault.service"', 'set("session-1.scope"')
        assert configuration != pair.nodes[0].configuration()
        pair.server.start()
        node = pair.nodes[0]
        assert node.syslog_ng.start(configuration, lambda: node.syslog_ng.listens(node.journal_port))
        send(node, "server", [b"vault[1]: core: vault is sealed"])
        send(node, "socket", entries("socket", 1))
        eventually(lambda: arrived(pair.server, "socket"))
        assert "destination;d_vaultwatch_server;;a;processed;0" in node.syslog_ng.statistics()


class TestMarks:
    def test_each_lane_has_a_line_each_mark_seconds_that_is_counted_and_not_evaluated(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node(mark_seconds=1)
        node.start()

        def marks(lane: str) -> int:
            lines = pair.server.handled("server" if lane == "server" else "audit")
            return lines.count(b"@demo/vault-1/%s " % lane.encode())

        eventually(lambda: all(marks(lane) >= 2 for lane in LANES))
        assert pair.server.kept("audit") == pair.server.kept("messages") == []
        for service in SERVICES:
            detector = Detector(shipped_rules(), source=service)
            assert detector.feed(pair.server.handled(service)) == detector.flush() == []
            assert detector.counts == Counts()


class TestCertificates:
    @pytest.mark.parametrize("wrong", ["of another authority", "expired"])
    def test_a_certificate_that_is_refused_loses_nothing_and_gets_nothing_in(self, pair: Pair, wrong: str) -> None:
        """In TLS 1.3 this loses hundreds of lines: the files switch it off."""
        pair.server.start()
        node = pair.node()
        right = {file: file.read_bytes() for file in node.tls.iterdir()}
        stranger = Authority() if wrong == "of another authority" else pair.authority
        refused = {
            "of another authority": lambda: stranger.issue("vault-1"),
            "expired": lambda: stranger.issue("vault-1", lasts=EXPIRED),
        }[wrong]()
        for name, content in zip(("host.pem", "host.key"), refused, strict=True):
            (node.tls / name).write_bytes(content)
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 500))
        log = node.folder / "syslog-ng.log"
        eventually(lambda: log.read_text().count("SSL error") >= 6)
        assert [line for lane in LANES for line in arrived(pair.server, lane)] == []
        for file, content in right.items():
            file.write_bytes(content)
        node.syslog_ng.reload()
        for lane in LANES:  # what the file lane could not send before the reload, it reads again
            wait_for(pair.server, lane, entries(lane, 500), twice=True)

    @pytest.mark.parametrize("impostor", ["of another authority", "for another name"])
    def test_a_node_sends_nothing_to_a_log_server_that_is_not_ours(self, pair: Pair, impostor: str) -> None:
        right = {file: file.read_bytes() for file in pair.server.tls.iterdir()}
        stranger = Authority() if impostor == "of another authority" else pair.authority
        name = "localhost" if impostor == "of another authority" else "log-server.elsewhere"
        pair.authority.install(pair.server.tls, stranger.issue("log-server", [name], usage=["server"]))
        pair.server.start()
        node = pair.node()
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 10))
        eventually(lambda: (node.folder / "syslog-ng.log").read_text().count("SSL error") >= 6)
        assert [line for lane in LANES for line in arrived(pair.server, lane)] == []
        for file, content in right.items():
            file.write_bytes(content)
        pair.server.syslog_ng.reload()
        # 3.38 may lose one of the lines that waited: docs/guarantee.md, hop 4.
        eventually(lambda: all(len({*entries(lane, 10)} - {*arrived(pair.server, lane)}) <= 1 for lane in LANES))

    def test_a_client_without_a_certificate_or_without_tls_gets_nothing_in(self, pair: Pair) -> None:
        pair.server.start()
        trusting = ssl.create_default_context(cadata=pair.authority.pem.decode())
        for lane in LANES:
            with connected(pair.server.ports[lane]) as plain:
                plain.sendall(b'{"plain": 1}\n')
            with connected(pair.server.ports[lane]) as raw, pytest.raises(OSError, match=r"(?i)ssl|reset|broken|eof"):
                trusting.wrap_socket(raw, server_hostname="localhost").sendall(b'{"anonymous": 1}\n')
        node = pair.node()
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 1))
        eventually(lambda: all(arrived(pair.server, lane) for lane in LANES))
        assert [line for lane in LANES for line in arrived(pair.server, lane)] == [
            entries(lane, 1)[0] for lane in LANES
        ]

    def test_a_client_that_insists_on_tls_1_3_is_refused(self, pair: Pair) -> None:
        pair.server.start()
        context = ssl.create_default_context(cadata=pair.authority.pem.decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with connected(pair.server.ports["socket"]) as raw, pytest.raises(OSError, match=r"(?i)version|reset|eof"):
            context.wrap_socket(raw, server_hostname="localhost")


class TestNoPushBack:
    """Nothing on the way may make Vault wait: a sender that is pushed back would hang here."""

    def test_the_sender_of_the_socket_never_waits_while_the_log_server_hangs_and_the_buffer_is_full(
        self, pair: Pair
    ) -> None:
        pair.server.start()
        node = pair.node(buffer_bytes=8 << 20)
        node.start()
        send(node, "socket", entries("socket", 1))
        eventually(lambda: arrived(pair.server, "socket"))
        assert pair.server.syslog_ng.pid is not None
        os.kill(pair.server.syslog_ng.pid, signal.SIGSTOP)
        send(node, "socket", entries("late", 40_000, padding=1500))
        eventually(lambda: processed(node, "socket") >= 40_001)
        os.kill(pair.server.syslog_ng.pid, signal.SIGCONT)
        eventually(lambda: queued(node, "socket") == 0)
        assert len(arrived(pair.server, "socket")) > 1000

    def test_what_the_disk_buffer_holds_arrives_when_the_log_server_is_back(self, pair: Pair) -> None:
        node = pair.node()
        node.start()
        for lane in LANES:
            send(node, lane, entries(lane, 5000))
        eventually(lambda: queued(node, "socket") >= 5000 <= queued(node, "server"))
        node.syslog_ng.stop()
        node.start()
        pair.server.start()
        for lane in LANES:
            wait_for(pair.server, lane, entries(lane, 5000))

    def test_a_handler_that_hangs_stops_neither_the_file_nor_the_sender(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        handlers = pair.server.syslog_ng.programs()
        for handler in handlers:
            os.kill(handler, signal.SIGSTOP)
        lines = entries("socket", 20_000, padding=1200)
        send(node, "socket", lines)
        send(node, "file", entries("file", 1000))
        eventually(lambda: {split_tag(line)[1] for line in pair.server.kept("audit")} == set(lines))
        assert len(arrived(pair.server, "socket")) < len(lines)
        for handler in handlers:
            os.kill(handler, signal.SIGCONT)
        wait_for(pair.server, "socket", lines)
        wait_for(pair.server, "file", entries("file", 1000))


class TestLongLines:
    """syslog-ng reads at most 16 KiB of TLS at once, and each time searches all that it has of a line for its end."""

    def test_a_node_that_sends_long_lines_delays_no_line_of_another(self, pair: Pair) -> None:
        pair.server.start()
        node, other = pair.node(), pair.node("vault-2")
        node.start()
        sent = [0] * (min(os.cpu_count() or 1, 30) + 2)
        senders = [
            Thread(target=send_long_line, args=(other, pair.server, sent, at), daemon=True) for at in range(len(sent))
        ]
        for sender in senders:
            sender.start()
        eventually(lambda: sum(sent) > 40)  # MiB: so that each further part takes long
        numbers = count()

        def has_arrived() -> bool:
            """Each line of a node wakes syslog-ng up."""
            send(node, "file", entries("file", 1, next(numbers)))
            return bool(arrived(pair.server, "socket"))

        send(node, "socket", entries("socket", 1))
        eventually(has_arrived)
        assert max(sent) < LONG_LINE_MIB


class TestTailedLane:
    def test_a_node_that_is_killed_loses_nothing_of_the_file(self, pair: Pair) -> None:
        pair.server.start()
        node = pair.node()
        node.start()
        for round_ in range(3):
            send(node, "file", entries("file", 2000, first=round_ * 4000))
            node.syslog_ng.kill()
            send(node, "file", entries("file", 2000, first=round_ * 4000 + 2000))
            node.start()
        eventually(lambda: set(arrived(pair.server, "file")) == set(entries("file", 12_000)))

    def test_it_waits_while_the_log_server_is_unavailable_and_drops_nothing(self, pair: Pair) -> None:
        """More lines than fit into any queue in memory: the file itself is the buffer."""
        node = pair.node()
        node.start()
        lines = entries("file", 60_000)
        send(node, "file", lines)
        eventually(lambda: queued(node, "file") >= 1000)
        pair.server.start()
        wait_for(pair.server, "file", lines)
