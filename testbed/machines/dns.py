"""The name server of a network of machines (RFC 1035): it knows IPv4 addresses, and nothing else."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from socketserver import BaseRequestHandler, UDPServer
from threading import Thread

Resolve = Callable[[str], str | None]
"""Returns the IPv4 address of a name in lower case, without a dot at its end; None if there is no such name."""

_HEADER = struct.Struct("!HHHHHH")
_ANSWER = struct.Struct("!HHHIH")
_A, _IN = 1, 1
_TTL_SECONDS = 5
_RESPONSE, _NO_SUCH_NAME = 0x8580, 3
_NAME_OF_QUESTION = 0xC000 | _HEADER.size


class NameServer:
    """Answers queries until it is closed.

    Args:
        listening: A UDP socket.
        resolve: Finds names.
    """

    def __init__(self, listening: socket.socket, resolve: Resolve) -> None:
        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                query, where = self.request
                if answer := answer_to(query, resolve):
                    where.sendto(answer, self.client_address)

        self._server = UDPServer(("", 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answer_to(query: bytes, resolve: Resolve) -> bytes | None:
    """Return the answer to a query with one question, None to one that cannot be read."""
    try:
        number, flags, questions, *_ = _HEADER.unpack_from(query)
        name, end = _name(query, _HEADER.size)
        kind, group = struct.unpack_from("!HH", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if flags & 0x8000 or questions != 1:
        return None
    address = resolve(name)
    status = _RESPONSE | (_NO_SUCH_NAME if address is None else 0)
    record = b""
    if address is not None and (kind, group) == (_A, _IN):
        record = _ANSWER.pack(_NAME_OF_QUESTION, _A, _IN, _TTL_SECONDS, 4) + socket.inet_aton(address)
    return _HEADER.pack(number, status, 1, int(bool(record)), 0, 0) + query[_HEADER.size : end + 4] + record


def _name(query: bytes, start: int) -> tuple[str, int]:
    """Return the name at an offset, and the offset after it; a question has no pointers."""
    labels, place = [], start
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii").lower())
        place += 1 + length
    return ".".join(labels), place + 1
