"""The guarded rotation under load, with the real syslog-ng of a node and a writer that behaves as Vault does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock, Thread

import pytest

from testbed.certificates import Authority
from testbed.lanes import LogServerHost, Node
from testbed.syslog_ng import search_path
from tests.support.waiting import eventually
from vaultwatch.hosts.rotation import Limits, Rotation, read_position, unsent_lines
from vaultwatch.reading.records import split_tag

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng", path=search_path()) is None, reason="syslog-ng is missing")


class Writer:
    """Writes entries to the file as Vault's file device does: it keeps the file open until it is asked to reopen it."""

    def __init__(self, file: Path) -> None:
        self.written: list[bytes] = []
        self._file = file
        self._open = file.open("ab", buffering=0)
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def reopen(self) -> None:
        with self._lock:
            self._open.close()
            self._open = self._file.open("ab", buffering=0)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._open.close()

    def wait_for_more(self, count: int) -> None:
        enough = len(self.written) + count
        eventually(lambda: len(self.written) >= enough)

    def _run(self) -> None:
        while not self._stop.wait(0.0005):
            line = b'{"id": %d}' % len(self.written)
            with self._lock:
                self._open.write(line + b"\n")
            self.written.append(line)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LogServerHost]:
    server = LogServerHost(tmp_path / "server", Authority())
    yield server
    server.syslog_ng.kill()


@pytest.fixture
def node(tmp_path: Path, server: LogServerHost) -> Iterator[Node]:
    node = Node(tmp_path / "node", server.ports)
    authority = Authority()
    authority.install(server.tls, authority.issue("log-server", ["localhost"]))
    authority.install(node.tls, authority.issue("vault-1"))
    yield node
    node.syslog_ng.kill()


@pytest.fixture
def writer(node: Node) -> Iterator[Writer]:
    writer = Writer(node.audit_file)
    yield writer
    writer.stop()


def rotation(node: Node, writer: Writer, wait_seconds: float = 20) -> Rotation:
    return Rotation(
        node.audit_file,
        lambda: node.syslog_ng.pid,
        lambda: unsent_lines(node.syslog_ng.statistics(), "d_vaultwatch_file"),
        writer.reopen,
        Limits(size_bytes=1, wait_seconds=wait_seconds),
    )


def rotate(node: Node, writer: Writer) -> None:
    """Rotate when the clock has reached the next second: a rotated file is named by it."""
    now = int(time.time())
    eventually(lambda: int(time.time()) > now)
    eventually(lambda: rotation(node, writer).run().startswith("rotated: "))


def arrived(server: LogServerHost) -> list[bytes]:
    return [line for _, line in map(split_tag, server.handled("audit")) if line]


def test_rotations_under_load_lose_and_repeat_nothing(server: LogServerHost, node: Node, writer: Writer) -> None:
    server.start()
    node.start()
    for _ in range(4):
        writer.wait_for_more(500)
        rotate(node, writer)
    writer.wait_for_more(500)
    writer.stop()
    eventually(lambda: arrived(server) == writer.written)
    assert len(list(node.folder.glob("audit.log-2*"))) == 4


def test_kills_between_guarded_rotations_lose_nothing(server: LogServerHost, node: Node, writer: Writer) -> None:
    server.start()
    node.start()
    for _ in range(3):
        writer.wait_for_more(500)
        rotate(node, writer)
        eventually(lambda: read_position(node.syslog_ng.pid or 0, node.audit_file) is not None)
        node.syslog_ng.kill()
        writer.wait_for_more(500)
        assert rotation(node, writer, 0).run() == "not rotated: syslog-ng does not run"
        node.start()
    writer.stop()
    eventually(lambda: set(arrived(server)) == set(writer.written))


def test_nothing_is_rotated_while_the_log_server_is_unavailable(
    server: LogServerHost, node: Node, writer: Writer
) -> None:
    node.start()
    writer.wait_for_more(3000)
    said = rotation(node, writer, 0).run()
    assert said.startswith("not rotated: syslog-ng has ")
    server.start()
    rotate(node, writer)
    writer.stop()
    eventually(lambda: set(arrived(server)) == set(writer.written))
