"""HTTP servers."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from ssl import SSLContext
from threading import Thread
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the second packet of a small response is delayed by 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Let a client send its body at once, and only once: werkzeug would answer the header again."""
        super().handle_expect_100()
        self.wfile.flush()
        del self.headers["Expect"]
        return True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing."""


class Server:
    """Serves a WSGI application until it is closed; `address` is its host and port.

    Args:
        application: The application.
        listening: The socket to serve, which becomes its own; by default one on a free port of loopback.
        tls: Its certificate, for HTTPS.
    """

    def __init__(
        self, application: Callable[..., Any], listening: socket | None = None, tls: SSLContext | None = None
    ) -> None:
        descriptor = listening.fileno() if listening else None
        self._server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Handler, fd=descriptor)
        if listening:
            listening.close()  # the server has a copy
        if tls:  # a client that never begins must not keep others waiting
            own = self._server.socket
            self._server.socket = tls.wrap_socket(own, server_side=True, do_handshake_on_connect=False)
        self.address = "{}:{}".format(*self._server.socket.getsockname())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
