"""A sender that behaves as Vault's audit devices do: the file first, then the socket, once."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread

from testbed.errors import TestbedError

_WRITE_TIMEOUT_SECONDS = 0.1
_BETWEEN_SECONDS = 0.0005
_HUNG_SECONDS = 300.0
_PADDING = b"x" * 1000
ALERTING = 20
"""Each entry whose id is a multiple of this raises an alert."""


class Sender:
    """Writes entries to both devices until it is stopped. What the socket does not take is given up, as Vault does.

    Attributes:
        owed: How many entries it has written to the file: their ids are 0, 1, and so on.
        longest_seconds: The longest time that an entry took on both devices together.
    """

    def __init__(self, file: Path, port: Callable[[], int]) -> None:
        """Start sending.

        Args:
            file: The file of the file device.
            port: Returns the port of the socket device's receiver, which may change when that is restarted.
        """
        self.owed = 0
        self.longest_seconds = 0.0
        self._path, self._port = file, port
        self._file = file.open("ab", buffering=0)
        self._connection: socket.socket | None = None
        self._lock, self._stop = Lock(), Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def reopen(self) -> None:
        """Open the file again, as Vault does at SIGHUP."""
        with self._lock:
            self._file.close()
            self._file = self._path.open("ab", buffering=0)

    def send(self, count: int) -> None:
        """Wait until it has sent so many more entries.

        Raises:
            TestbedError: It hangs.
        """
        enough, end = self.owed + count, time.monotonic() + _HUNG_SECONDS
        while self.owed < enough:
            if time.monotonic() > end:
                raise TestbedError("the sender hangs")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop sending, and close the file."""
        self._stop.set()
        self._thread.join()
        self._file.close()
        if self._connection:
            self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(_BETWEEN_SECONDS):
            line = _entry(self.owed)
            begin = time.monotonic()
            with self._lock:
                self._file.write(line)
            self._write_to_socket(line)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - begin)
            self.owed += 1

    def _write_to_socket(self, line: bytes) -> None:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port()), _WRITE_TIMEOUT_SECONDS)
            self._connection.sendall(line)
        except OSError:
            if self._connection:
                self._connection.close()
            self._connection = None


def _entry(number: int) -> bytes:
    """Return an entry; some of them write a policy, which raises an alert."""
    if number % ALERTING:
        return b'{"type":"request","request":{"id":"%d","path":"%s"}}\n' % (number, _PADDING)
    request = b'{"id":"%d","operation":"update","path":"sys/policies/acl/%s"}' % (number, _PADDING)
    return b'{"type":"response","request":%s,"response":{"mount_type":"system"}}\n' % request
