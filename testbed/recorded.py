"""Recorded sessions of real servers, sent as Vault sends them: one connection to each port, whole lines."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from testbed.errors import TestbedError
from testbed.log_server import SERVICES
from testbed.session import Receiver, Say, Sent, key_of_alert, key_of_line
from vaultwatch.alerts import Alert
from vaultwatch.rules.facts import Service

RECORDINGS = Path(__file__).parents[1] / "tests" / "data" / "recordings"
DEFAULT_SCENARIOS = (
    "vault-1.14.2/ordinary-day",
    "vault-1.14.2/root-token-used",
    "vault-1.14.2/generate-root",
    "vault-1.14.2/policy-changes",
    "vault-1.14.2/audit-device-changes",
    "openbao-2.6.2/ordinary-restart",
    "openbao-2.6.2/namespaces",
    "openbao-2.6.2/seal-and-return",
)
_SCENARIO_SECONDS = 1.0
_SEND_SECONDS = 10.0


@dataclass(frozen=True)
class Scenario:
    """One scenario of a recording: its title, and its lines in the order in which they are sent."""

    title: str
    lines: tuple[tuple[Service, bytes], ...]


class Recorded:
    """A session that plays recorded scenarios, one second each.

    Args:
        names: The scenarios, as `<product>/<scenario>`.

    Raises:
        TestbedError: If there is no scenario of such a name.
    """

    title = "A recorded session of Vault 1.14.2 and OpenBao 2.6.2"

    def __init__(self, names: Sequence[str]) -> None:
        self._scenarios = [load(name) for name in names]
        self._at: dict[str, float] = {}

    def moment(self, alert: Alert) -> float | None:
        """Return when the line of an alert was sent; None if it was not sent."""
        return self._at.get(key_of_alert(alert))

    def play(self, server: Receiver, stop: Event, say: Say) -> Sent:
        """Play all scenarios; see `Session.play`."""
        lines: dict[Service, list[bytes]] = {"audit": [], "server": []}
        with closing(connect(server.ports["audit"])) as audit, closing(connect(server.ports["server"])) as messages:
            connections: dict[Service, socket.socket] = {"audit": audit, "server": messages}
            for scenario in self._scenarios:
                if stop.is_set():
                    break
                say(f"{scenario.title} ({len(scenario.lines):,} lines)")
                for service, line in _paced(scenario, stop):
                    self._at.setdefault(key_of_line(service, line), time.time())
                    send(connections[service], line)
                    lines[service].append(line)
        return Sent(lines, self._at)


def _paced(scenario: Scenario, stop: Event) -> Iterator[tuple[Service, bytes]]:
    start = time.monotonic()
    for number, item in enumerate(scenario.lines):
        ahead = start + _SCENARIO_SECONDS * number / len(scenario.lines) - time.monotonic()
        if (ahead > 0.002 and stop.wait(ahead)) or stop.is_set():
            return
        yield item


def connect(port: int) -> socket.socket:
    """Connect to syslog-ng.

    Args:
        port: Its port on loopback.

    Returns:
        The connection.

    Raises:
        TestbedError: If nothing accepts the connection.
    """
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=_SEND_SECONDS)
    except OSError as error:
        raise TestbedError(f"syslog-ng does not accept connections on port {port}: {error}") from error


def send(connection: socket.socket, line: bytes) -> None:
    """Send one whole line.

    Args:
        connection: A connection to syslog-ng.
        line: The line without its line feed.

    Raises:
        TestbedError: If syslog-ng does not read it.
    """
    try:
        connection.sendall(line + b"\n")
    except OSError as error:
        raise TestbedError(f"syslog-ng does not read what is sent to it: {error}") from error


def load(name: str) -> Scenario:
    """Load one scenario, with the lines of both logs interleaved, each log in its own order.

    Args:
        name: The scenario, as `<product>/<scenario>`.

    Returns:
        The scenario.

    Raises:
        TestbedError: If there is none of that name.
    """
    product, _, scenario = name.partition("/")
    folder = RECORDINGS / product / scenario
    if not scenario or not folder.is_dir():
        raise TestbedError(f"there is no recording {name!r} in tests/data/recordings")
    by_service = {service: _lines(folder, service) for service in SERVICES}
    places = [
        (number / len(lines), service, line)
        for service, lines in by_service.items()
        for number, line in enumerate(lines)
    ]
    places.sort(key=lambda place: place[0])
    about = next((entry["about"] for entry in _index(product) if entry["scenario"] == scenario), "")
    return Scenario(f"{name}: {about}", tuple((service, line) for _, service, line in places))


def tagged(product: str, source: Service) -> list[list[bytes]]:
    """Return all lines of a product's recording, tagged as syslog-ng tags them, by scenario."""
    lane, name = {"audit": ("file", "audit.jsonl"), "server": ("server", "server.log")}[source]
    files = [RECORDINGS / product / entry["scenario"] / name for entry in _index(product)]
    tag = f"@prod/{product}/{lane} ".encode()
    return [[tag + line + b"\n" for line in _nonempty(file)] for file in files if file.exists()]


def _lines(folder: Path, service: Service) -> list[bytes]:
    names = ("audit-socket.jsonl", "audit.jsonl") if service == "audit" else ("server.log",)
    return next((_nonempty(folder / name) for name in names if (folder / name).exists()), [])


def _nonempty(file: Path) -> list[bytes]:
    """Return the lines of a file without empty ones, which syslog-ng drops."""
    return [line for line in file.read_bytes().split(b"\n") if line]


def _index(product: str) -> list[dict[str, str]]:
    return list(json.loads((RECORDINGS / product / "index.json").read_text())["scenarios"])
