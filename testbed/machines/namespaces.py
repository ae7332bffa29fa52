"""Network namespaces: one network that machines share, with the addresses that a VPC has for all of them.

Their names begin with `vwm-` and the process that made them, so that `sweep` can remove what a killed one has left.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

PREFIX = "vwm-"
GATEWAY = "10.90.0.1"
"""Where all names of AWS and of release servers lead to."""
METADATA, RESOLVER = "169.254.169.254", "169.254.169.253"
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """A bridge in a namespace of its own, to which each machine has a cable.

    Use it as a context manager; leaving it removes everything.
    """

    def __init__(self) -> None:
        self._own = f"{PREFIX}{os.getpid()}-net"
        self._made: list[str] = []
        self._lock = Lock()

    def __enter__(self) -> Network:
        sweep()
        self._add(self._own)
        _ip("-n", self._own, "link", "add", "bridge", "type", "bridge")
        for address in (f"{GATEWAY}/24", f"{METADATA}/32", f"{RESOLVER}/32"):
            _ip("-n", self._own, "address", "add", address, "dev", "bridge")
        _ip("-n", self._own, "link", "set", "bridge", "up")
        return self

    def __exit__(self, *exception: object) -> None:
        for name in self._made:
            _ip("netns", "delete", name)

    def add_machine(self, name: str, address: str) -> Path:
        """Make the namespace of a machine, and return its path.

        Args:
            name: The name of the machine.
            address: Its IPv4 address in 10.90.0.0/24.
        """
        inside = f"{PREFIX}{os.getpid()}-{name}"
        self._add(inside)
        _ip("-n", self._own, "link", "add", name, "type", "veth", "peer", "name", "ens5", "netns", inside)
        _ip("-n", self._own, "link", "set", name, "master", "bridge", "up")
        _ip("-n", inside, "address", "add", f"{address}/24", "dev", "ens5")
        _ip("-n", inside, "link", "set", "ens5", "up")
        _ip("-n", inside, "route", "add", "169.254.0.0/16", "dev", "ens5")
        _ip("-n", inside, "route", "add", "default", "via", GATEWAY)
        return _NAMESPACES / inside

    def remove_machine(self, name: str) -> None:
        """Remove the namespace of a machine that has ended, and its cable."""
        inside = f"{PREFIX}{os.getpid()}-{name}"
        _ip("-n", self._own, "link", "delete", name)
        _ip("netns", "delete", inside)
        self._made.remove(inside)

    def cut(self, name: str, *, off: bool) -> None:
        """Unplug the cable of a machine, or plug it in again."""
        _ip("-n", self._own, "link", "set", name, "down" if off else "up")

    def listen(self, address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """Return a socket on an address of the bridge; its connections are served by this process, where it is."""
        with inside_of(_NAMESPACES / self._own):
            made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if kind is socket.SOCK_STREAM:
            made.listen(128)
        return made

    def _add(self, name: str) -> None:
        with self._lock:
            _ip("netns", "add", name)
            self._made.insert(0, name)
            _ip("-n", name, "link", "set", "lo", "up")


@contextmanager
def inside_of(namespace: Path) -> Iterator[None]:
    """Let this thread, and no other, make its sockets in a namespace."""
    with Path("/proc/thread-self/ns/net").open("rb") as before, namespace.open("rb") as wanted:
        _enter(wanted.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def sweep() -> None:
    """Remove the namespaces of processes that have ended."""
    for path in _NAMESPACES.glob(f"{PREFIX}*"):
        if not Path("/proc", path.name.split("-")[1]).exists():
            with suppress(subprocess.CalledProcessError):  # another process has removed it
                _ip("netns", "delete", path.name)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True)
