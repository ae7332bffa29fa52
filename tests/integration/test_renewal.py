"""Certificates are renewed while lines pass between two real syslog-ng over TLS, and no line is lost."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography import x509

from testbed.certificates import Authority as Elsewhere
from testbed.lanes import LOG_SERVER_NAME, LogServerHost, Node
from testbed.syslog_ng import SyslogNg, search_path
from tests.support.authority import new_key, now, pem
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.authority.caller import Caller
from vaultwatch.authority.certificates import certify_authority
from vaultwatch.authority.names import Host
from vaultwatch.authority.request import Answer, Identity, Request
from vaultwatch.authority.signing import Authority
from vaultwatch.hosts.certificate import HostCertificate, Place
from vaultwatch.reading.records import split_tag

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng", path=search_path()) is None, reason="syslog-ng is missing")

MONTH_AGO = timedelta(days=25)  # what was issued then has five days left
IDENTITY = Identity("", "20261128T000000Z", "token")
HOSTS = {
    "server": Host("log-server", (LOG_SERVER_NAME,), ("server",)),
    "node": Host("vault-1", (f"vault-1.{LOG_SERVER_NAME}",), ("client",)),
}


@pytest.fixture
def authority() -> Authority:
    key = new_key()
    return Authority(key, certify_authority(key, "Vaultwatch", LOG_SERVER_NAME, now() - 2 * MONTH_AGO), HOSTS)


def renew(authority: Authority, role: str, tls: Path, syslog_ng: SyslogNg, at: datetime) -> str:
    """Run what the timer of a host runs, and return the serial number of its certificate."""

    def ask(csr: x509.CertificateSigningRequest, certificate: str) -> Answer:
        request = Request(pem(csr), IDENTITY, certificate)
        _, made = authority.answer(request, lambda *_: Caller(role, is_instance=True), at)
        return authority.answer_with(made)

    HostCertificate(HOSTS[role].name, [Place(tls)], ask, syslog_ng.reload).run(at)
    return f"{x509.load_pem_x509_certificate((tls / 'host.pem').read_bytes()).serial_number:X}"


def served(port: int, tls: Path) -> str:
    """Return the serial number of the certificate that the log server shows to a new client."""
    context = ssl.create_default_context(cafile=str(tls / "authority.pem"))
    context.load_cert_chain(tls / "host.pem", tls / "host.key")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=HUNG_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=LOG_SERVER_NAME) as connection,
    ):
        shown = connection.getpeercert()
    assert shown
    return str(shown["serialNumber"]).lstrip("0")


@contextmanager
def written_without_a_break(node: Node, sent: dict[str, list[bytes]]) -> Iterator[Callable[[int], None]]:
    """Write on both lanes of the audit log; yield what waits until each lane has some more lines."""
    stop, written = Event(), dict.fromkeys(sent, 0)

    def write(lane: str, put: Callable[[bytes], object]) -> None:
        while not stop.wait(0.001):
            line = b'{"id": "%s-%d"}' % (lane.encode(), written[lane])
            put(line + b"\n")
            sent[lane].append(line)
            written[lane] += 1

    with (
        socket.create_connection(("127.0.0.1", node.audit_port), timeout=HUNG_SECONDS) as connection,
        node.audit_file.open("ab", buffering=0) as file,
    ):
        writers = [
            Thread(target=write, args=("socket", connection.sendall)),
            Thread(target=write, args=("file", file.write)),
        ]
        for writer in writers:
            writer.start()

        def more(count: int) -> None:
            enough = {lane: number + count for lane, number in written.items()}
            eventually(lambda: all(written[lane] >= enough[lane] for lane in written))

        try:
            yield more
        finally:
            stop.set()
            for writer in writers:
                writer.join()


def test_both_certificates_are_renewed_under_load_and_no_line_is_lost(authority: Authority, tmp_path: Path) -> None:
    server = LogServerHost(tmp_path / "server", Elsewhere())
    node = Node(tmp_path / "node", server.ports)
    old = renew(authority, "server", server.tls, server.syslog_ng, now() - MONTH_AGO)
    renew(authority, "node", node.tls, node.syslog_ng, now() - MONTH_AGO)
    sent: dict[str, list[bytes]] = {"socket": [], "file": []}
    try:
        server.start()
        node.start()
        assert served(server.ports["file"], node.tls) == old
        with written_without_a_break(node, sent) as more:
            more(300)
            new = renew(authority, "server", server.tls, server.syslog_ng, now())
            eventually(lambda: served(server.ports["file"], node.tls) == new)
            more(300)
            renew(authority, "node", node.tls, node.syslog_ng, now())
            eventually(lambda: "reload finished" in (node.folder / "syslog-ng.log").read_text())
            more(300)
        assert new != old

        def arrived(lane: str) -> list[bytes]:
            tagged = map(split_tag, server.handled("audit"))
            return [line for origin, line in tagged if origin.lane == lane and line]

        eventually(lambda: all(len(arrived(lane)) >= len(lines) for lane, lines in sent.items()))
        assert {lane: arrived(lane) for lane in sent} == sent
    finally:
        node.syslog_ng.kill()
        server.syslog_ng.stop()
