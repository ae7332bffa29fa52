"""A recorded session, sent as Vault does: one connection to each port, whole lines."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from testbed.errors import DemoError
from testbed.log_server import SERVICES, LogServer
from testbed.session import Say, Sent, key_of_line
from vaultwatch.rules.facts import Service

RECORDINGS = Path(__file__).parents[1] / "tests" / "data" / "recordings"
USUAL = (
    "vault-1.14.2/ordinary-day",
    "vault-1.14.2/root-token-used",
    "vault-1.14.2/generate-root",
    "vault-1.14.2/policy-changes",
    "vault-1.14.2/audit-device-changes",
    "openbao-2.6.2/ordinary-restart",
    "openbao-2.6.2/namespaces",
    "openbao-2.6.2/seal-and-return",
)
_SCENE_SECONDS = 1.0
_SEND_SECONDS = 10.0


@dataclass(frozen=True)
class Scene:
    """One scenario of a recording."""

    title: str
    lines: tuple[tuple[Service, bytes], ...]


class Recorded:
    """Plays scenarios, named `<product>/<scenario>`, a second for each."""

    title = "a recorded session of Vault 1.14.2 and OpenBao 2.6.2"

    def __init__(self, names: Sequence[str]) -> None:
        self._scenes = [load(name) for name in names]

    def play(self, server: LogServer, stop: Event, say: Say) -> Sent:
        """See `Session.play`."""
        lines: dict[Service, list[bytes]] = {"audit": [], "server": []}
        at: dict[str, float] = {}
        with closing(connect(server.ports["audit"])) as audit, closing(connect(server.ports["server"])) as messages:
            connections: dict[Service, socket.socket] = {"audit": audit, "server": messages}
            for scene in self._scenes:
                if stop.is_set():
                    break
                say(f"{scene.title} ({len(scene.lines):,} lines)")
                for service, line in _paced(scene, stop):
                    at.setdefault(key_of_line(service, line), time.time())
                    send(connections[service], line)
                    lines[service].append(line)
        return Sent(lines, at)


def _paced(scene: Scene, stop: Event) -> Iterator[tuple[Service, bytes]]:
    start = time.monotonic()
    for number, item in enumerate(scene.lines):
        ahead = start + _SCENE_SECONDS * number / len(scene.lines) - time.monotonic()
        if (ahead > 0.002 and stop.wait(ahead)) or stop.is_set():
            return
        yield item


def connect(port: int) -> socket.socket:
    """A connection to syslog-ng; raises `DemoError`."""
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=_SEND_SECONDS)
    except OSError as error:
        raise DemoError(f"syslog-ng does not answer on port {port}: {error}") from error


def send(connection: socket.socket, line: bytes) -> None:
    """One whole line; raises `DemoError`."""
    try:
        connection.sendall(line + b"\n")
    except OSError as error:
        raise DemoError(f"syslog-ng does not take what is sent: {error}") from error


def load(name: str) -> Scene:
    """One scenario; raises `DemoError` if there is none of that name."""
    product, _, scenario = name.partition("/")
    folder = RECORDINGS / product / scenario
    if not scenario or not folder.is_dir():
        raise DemoError(f"there is no recording {name!r} in tests/data/recordings")
    by_service = {service: _lines(folder, service) for service in SERVICES}
    # Both logs side by side, each in its own order.
    places = [
        (number / len(lines), service, line)
        for service, lines in by_service.items()
        for number, line in enumerate(lines)
    ]
    places.sort(key=lambda place: place[0])
    about = next((entry["about"] for entry in _index(product) if entry["scenario"] == scenario), "")
    return Scene(f"{name}: {about}", tuple((service, line) for _, service, line in places))


def _lines(folder: Path, service: Service) -> list[bytes]:
    names = ("audit-socket.jsonl", "audit.jsonl") if service == "audit" else ("server.log",)
    for name in names:
        if (folder / name).exists():
            # syslog-ng drops empty lines.
            return [line for line in (folder / name).read_bytes().split(b"\n") if line]
    return []


def _index(product: str) -> list[dict[str, str]]:
    return list(json.loads((RECORDINGS / product / "index.json").read_text())["scenarios"])
