"""A network between two processes on loopback, which can be slow, or carry nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_BUFFER_BYTES = 64 * 1024
_LOOK_SECONDS = 0.05


class Relay:
    """Carries TCP connections from a port of its own to another port, until it is closed.

    Its own buffers are small, so that a sender soon notices that it is slow.

    Args:
        target: Returns the port to which connections go.

    Attributes:
        bytes_per_second: How fast each direction of a connection is; None for no limit.
        port: The port on which it listens.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        self.bytes_per_second: float | None = None
        self._target = target
        self._ends: set[socket.socket] = set()
        self._closed, self._open = threading.Event(), threading.Event()
        self._listener = _listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._open.set()
        self._start(self._accept, self._listener)

    def freeze(self) -> None:
        """Carry nothing, as a network that drops every packet: connections stay, and neither end notices."""
        self._open.clear()

    def refuse(self) -> None:
        """End all connections and refuse new ones."""
        _shut(self._listener)
        self._listener.close()
        for end in list(self._ends):
            _shut(end)
        self._open.set()

    def restore(self) -> None:
        """Carry everything again."""
        self.bytes_per_second = None
        self._open.set()
        if self._listener.fileno() < 0:
            self._listener = _listen(self.port)
            self._start(self._accept, self._listener)

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self.refuse()

    def _start(self, run: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                self._start(self._connect, listener.accept()[0])

    def _connect(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            _keep_little(near, far)
            with suppress(OSError):
                far.connect(("127.0.0.1", self._target()))
                self._ends |= {near, far}
                back = self._start(self._carry, far, near)
                self._carry(near, far)
                back.join()
            self._ends -= {near, far}

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while self._wait() and (data := source.recv(_BUFFER_BYTES)):
                if self.bytes_per_second:
                    self._closed.wait(len(data) / self.bytes_per_second)
                self._wait()
                sink.sendall(data)
        _shut(source)
        _shut(sink)

    def _wait(self) -> bool:
        """Wait while nothing is carried; return whether anything ever will be."""
        while not self._open.wait(_LOOK_SECONDS):
            if self._closed.is_set():
                return False
        return not self._closed.is_set()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        end.shutdown(socket.SHUT_RDWR)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _keep_little(listener)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def _keep_little(*ends: socket.socket) -> None:
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
