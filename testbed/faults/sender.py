"""A sender that behaves as Vault's audit devices do: the file first, then the socket, with one more attempt."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol

from testbed.errors import TestbedError
from testbed.faults.entries import name_of_entry

_WRITE_TIMEOUT_SECONDS = 0.1
_HUNG_SECONDS = 300.0
_PADDING_BYTES = 1000
_ALERTING = 20
"""Each entry whose id is a multiple of this raises an alert."""
URGENT = "urgent-"
"""Begins the name of an urgent act, which people are notified of at once; its number follows."""


class Sender(Protocol):
    """What writes entries to both devices of a node until it is stopped."""

    longest_seconds: float
    """The longest time that an entry took on both devices together."""

    @property
    def refused(self) -> Sequence[str]:
        """Why calls failed although the sender ran."""
        ...

    @property
    def owed(self) -> set[str]:
        """The entries that a device accepted, as `name_of_entry` names them."""
        ...

    @property
    def alerting(self) -> set[str]:
        """The ids of the requests of which an owed entry raises an alert."""
        ...

    @property
    def urgent(self) -> set[str]:
        """The names of the owed urgent acts."""
        ...

    @property
    def in_file(self) -> Sequence[str]:
        """The entries that the file accepted as lines of their own, in order; one after a cut-off one is none."""
        ...

    def reopen(self) -> None:
        """Open the file again, as Vault does at SIGHUP."""
        ...

    def send(self, entries: int) -> None:
        """Wait until it has sent so many more entries; raises `TestbedError` if it hangs."""
        ...

    def send_urgent(self, acts: int) -> None:
        """Wait until it has sent so many urgent acts, each of somebody else."""
        ...

    def stop(self) -> None:
        """Stop sending."""
        ...


class SimulatedSender:
    """A `Sender` that gives up what the socket does not accept, and owes what either device accepted, as Vault does."""

    def __init__(self, file: Path, port: Callable[[], int], between_seconds: float = 0.0005) -> None:
        """Start sending.

        Args:
            file: The file of the file device.
            port: Returns the port of the socket device's receiver, which may change when that is restarted.
            between_seconds: How long it waits between two entries.
        """
        self.refused: Sequence[str] = ()  # there are no calls
        self.owed: set[str] = set()
        self.alerting: set[str] = set()
        self.urgent: set[str] = set()
        self.in_file: list[str] = []
        self.longest_seconds = 0.0
        self._sent = 0
        self._padding_bytes = _PADDING_BYTES
        self._urgent_left = 0
        self._is_cut_off, self._is_own_line = False, True
        self._path, self._port, self._between_seconds = file, port, between_seconds
        self._file = file.open("ab", buffering=0)
        self._connection: socket.socket | None = None
        self._lock, self._stop = Lock(), Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def reopen(self) -> None:
        """See `Sender`."""
        with self._lock:
            self._file.close()
            self._file = self._path.open("ab", buffering=0)

    def send(self, entries: int) -> None:
        """See `Sender`."""
        enough, end = self._sent + entries, time.monotonic() + _HUNG_SECONDS
        while self._sent < enough:
            if time.monotonic() > end or not self._thread.is_alive():
                raise TestbedError("the sender hangs")
            time.sleep(0.005)

    def send_large(self, size: int) -> None:
        """Make the next entry so many bytes long, and wait until it was sent.

        Args:
            size: Its length, without what surrounds the path.
        """
        with self._lock:
            self._padding_bytes = size
        self.send(2)

    def send_urgent(self, acts: int) -> None:
        """See `Sender`."""
        with self._lock:
            self._urgent_left = acts
        self.send(acts + 1)

    def stop(self) -> None:
        """Stop sending, and close the file."""
        self._stop.set()
        self._thread.join()
        self._file.close()
        if self._connection:
            self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(self._between_seconds):
            number, line = self._sent, self._next()
            begin = time.monotonic()
            with self._lock:
                in_file = self._write_to_file(line)
            in_socket = self._write_to_socket(line) or self._write_to_socket(line)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - begin)
            name = name_of_entry(line)
            if in_file and self._is_own_line:
                self.in_file.append(name)
            if in_file or in_socket:
                self._owe(number, name, line)
            self._sent += 1

    def _next(self) -> bytes:
        with self._lock:
            size, self._padding_bytes = self._padding_bytes, _PADDING_BYTES
            if self._urgent_left:
                self._urgent_left -= 1
                return _urgent_entry(self._sent)
        return _entry(self._sent, size)

    def _owe(self, number: int, name: str, line: bytes) -> None:
        self.owed.add(name)
        urgent = URGENT.encode() in line
        if urgent:
            self.urgent.add(f"{URGENT}{number}")
        if urgent or number % _ALERTING == 0:
            self.alerting.add(str(number))

    def _write_to_file(self, line: bytes) -> bool:
        """Return whether all of a line was written; a disk that becomes full keeps its beginning, as with Vault."""
        rest = memoryview(line)
        with suppress(OSError):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._is_own_line = not self._is_cut_off
        self._is_cut_off = bool(rest) and (self._is_cut_off or len(rest) < len(line))
        return not rest

    def _write_to_socket(self, line: bytes) -> bool:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self._port()), _WRITE_TIMEOUT_SECONDS)
            self._connection.sendall(line)
        except OSError:
            if self._connection:
                self._connection.close()
            self._connection = None
        return self._connection is not None


def _entry(number: int, size: int) -> bytes:
    """Return an entry; some of them write a policy, which raises an alert."""
    padding, now = b"x" * size, _now()
    if number % _ALERTING:
        return b'{"type":"request","time":"%s","request":{"id":"%d","path":"%s"}}\n' % (now, number, padding)
    request = b'{"id":"%d","operation":"update","path":"sys/policies/acl/%s"}' % (number, padding)
    response = b'"response":{"mount_type":"system"}'
    return b'{"type":"response","time":"%s","request":%s,%s}\n' % (now, request, response)


def _urgent_entry(number: int) -> bytes:
    """Return an entry of an act of which each one is notified: the export of a key, by somebody of an own name."""
    auth = b'"auth":{"display_name":"person-%d"}' % number
    path = b"transit/export/encryption-key/%s%d" % (URGENT.encode(), number)
    request = b'{"id":"%d","operation":"read","path":"%s","mount_type":"transit","mount_point":"transit/"}' % (
        number,
        path,
    )
    response = b'"response":{"mount_type":"transit"}'
    return b'{"type":"response","time":"%s",%s,"request":%s,%s}\n' % (_now(), auth, request, response)


def _now() -> bytes:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z").encode()
