"""An HTTP proxy on loopback that only opens tunnels (CONNECT), like a company's proxy for HTTPS."""

from __future__ import annotations

import base64
import secrets
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ConnectProxy:
    """A proxy that runs while its context is open.

    `tunnels` are the targets to which it has opened a tunnel, as `host:port`; `refused` counts requests without the
    right `credentials` (`user:password`).
    """

    def __init__(self, credentials: str = "") -> None:
        self.credentials = credentials
        self.tunnels: list[str] = []
        self.refused = 0
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        """The address on which it listens, as `host:port`."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ConnectProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def admits(self, authorization: str) -> bool:
        """Return whether a `Proxy-Authorization` header has the credentials, if any are required."""
        wanted = f"Basic {base64.b64encode(self.credentials.encode()).decode()}"
        return not self.credentials or secrets.compare_digest(authorization, wanted)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], proxy: ConnectProxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_CONNECT(self) -> None:
        proxy = self.server.proxy
        if not proxy.admits(self.headers.get("Proxy-Authorization") or ""):
            proxy.refused += 1
            self.send_error(407)
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), self.timeout) as target:
            proxy.tunnels.append(self.path)
            self.send_response(200)
            self.end_headers()
            _relay(self.connection, target)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Forward bytes in both directions until either side ends or sends nothing for ten seconds."""
    partner = {one: other, other: one}
    while ready := select.select([one, other], [], [], 10.0)[0]:
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            partner[source].sendall(data)
