"""A node and a log server with `vaultwatch ship`, which take a session as one log server does."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from testbed.certificates import Authority
from testbed.lanes import LogServerHost, Node
from testbed.log_server import FILES, SERVICES, VAULTWATCH
from testbed.syslog_ng import ASSETS, quotable
from vaultwatch.rules.facts import Service

_MARK = b"-- MARK --\n"
_CONNECT_SECONDS = 10.0


class ShippingHosts:
    """Both hosts, which run while the context is open.

    Args:
        folder: The folder for all their files.
        options: The options of `vaultwatch ship`, which must log to `ship.log` in `folder`.
        environment: The environment variables of the handlers, besides PATH.
    """

    def __init__(self, folder: Path, options: str, environment: Mapping[str, str]) -> None:
        self._ship_log = folder / "ship.log"
        self._authority = Authority()
        handlers = f'@include "{quotable(ASSETS / "vaultwatch-ship.conf")}"\n'
        settings = {"program": VAULTWATCH, "options": options}
        self._server = LogServerHost(
            folder / "log-server", self._authority, handlers=handlers, settings=settings, environment=environment
        )
        self._node = Node(folder / "node", self._server.ports)
        self._authority.install(self._node.tls, self._authority.issue("vault-1"))
        self.logs = self._server.logs

    @property
    def ports(self) -> Mapping[Service, int]:
        """The ports of the node: of the socket audit device, and of what its journal gets."""
        return {"audit": self._node.audit_port, "server": self._node.journal_port}

    def __enter__(self) -> ShippingHosts:
        try:
            self._server.start(self._handlers_read, self._ship_log)
            self._node.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send_marks(self) -> None:
        """Send what the node's syslog-ng sends each minute, which becomes a tag without a line.

        The first line on a connection makes the TLS handshake. If it reaches the log server together with the end of
        the handshake, it has the node's address in place of its name.
        """
        for port in self.ports.values():
            with socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS) as connection:
                connection.sendall(_MARK)

    def stop(self) -> int:
        """End both, the node first, and let the handlers drain; return how many had to be killed."""
        try:
            self._node.syslog_ng.stop()
        finally:
            killed = self._server.syslog_ng.stop()
        return killed

    def archive(self, service: Service) -> Path:
        """Return the file with the tagged lines of a log."""
        return self.logs / FILES[service]

    def _handlers_read(self) -> bool:
        said = self._ship_log.read_text() if self._ship_log.exists() else ""
        return all(f"sending {service} lines" in said for service in SERVICES)
