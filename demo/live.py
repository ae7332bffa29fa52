"""A live session: runs the vault or bao on PATH, and triggers the events that should raise alerts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

from testbed.errors import TestbedError
from testbed.processes import end, start
from testbed.recorded import connect, send
from testbed.session import Receiver, Say, Sent, key_of_line
from testbed.syslog_ng import free_port, search_path
from testbed.vault import Vault
from vaultwatch.alerts import Alert
from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.records import split_tag
from vaultwatch.rules.facts import Service

_PROGRAMS = ("vault", "bao")
_PAUSE_SECONDS = 0.3


class Live:
    """A session on a server of its own, in memory and on loopback, which ends with the session.

    Raises:
        TestbedError: If neither vault nor bao is on PATH.
    """

    def __init__(self) -> None:
        self._program = _find()
        version = subprocess.run([self._program, "version"], capture_output=True, check=False, timeout=30)
        name = version.stdout.decode("utf-8", "replace").strip()
        self._is_openbao = name.startswith("OpenBao")
        self.title = f"A live {name or self._program}"

    def moment(self, alert: Alert) -> float | None:
        """Return when the server wrote the line of an alert: its clock is that of this machine."""
        written = parse_time(alert.time)
        return None if written is None else written.timestamp()

    def play(self, server: Receiver, stop: Event, say: Say) -> Sent:
        """Drive the server; see `Session.play`."""
        folder = server.logs.parent / "vault"
        folder.mkdir()
        relay = _Relay(server.ports["server"])
        with closing(relay), _running(self._program, folder, relay, self._is_openbao) as vault:
            for about, act in _acts(vault, folder, server.ports["audit"]):
                say(about)
                act()
                if stop.wait(_PAUSE_SECONDS):
                    break
        return _sent(folder / "audit.jsonl", relay, server)


def _find() -> str:
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return path
    raise TestbedError("LIVE=1 needs vault or bao on PATH, and neither was found")


def _acts(vault: Vault, folder: Path, port: int) -> Iterator[tuple[str, Any]]:
    yield "Initialise and unseal the server, which creates a root token", vault.initialise
    yield "Enable two audit devices: a file, and a socket to syslog-ng", lambda: vault.enable_devices(folder, port)
    yield "Use the root token: write a policy, enable userpass, create alice", vault.create_alice
    yield "alice writes and reads secrets, which raises no alert", vault.use_secrets
    yield "Start the generation of a root token, and cancel it", vault.start_root_generation
    yield "alice writes a policy, and deletes it", vault.change_policies
    yield "alice enables an audit device, and disables it", lambda: vault.disable_a_device(folder)
    yield "alice seals the server; it is unsealed again", vault.seal_and_unseal
    yield "Shut the server down", lambda: None


@contextmanager
def _running(program: str, folder: Path, relay: _Relay, is_openbao: bool) -> Iterator[Vault]:
    port = free_port()
    configuration = folder / "config.json"
    configuration.write_text(json.dumps(_configuration(port, is_openbao)))
    environment = {"PATH": search_path(), "HOME": str(folder)}
    reading, writing = os.pipe()
    try:
        process = start([program, "server", f"-config={configuration}"], writing, environment, folder)
    finally:
        os.close(writing)
    relay.begin(reading)
    try:
        vault = Vault(port, is_openbao)
        vault.wait_for_start(lambda: process.poll() is None, relay.last_line)
        yield vault
    finally:
        end(process)
        relay.finish()


def _configuration(port: int, is_openbao: bool) -> dict[str, Any]:
    address = f"127.0.0.1:{port}"
    own = {"unsafe_allow_api_audit_creation": True} if is_openbao else {"disable_mlock": True}
    return {
        "storage": {"inmem": {}},
        "listener": {"tcp": {"address": address, "tls_disable": True}},
        "api_addr": f"http://{address}",
        "log_format": "json",
        **own,
    }


class _Relay:
    """Forwards the server log to syslog-ng line by line, as a log collector does."""

    def __init__(self, port: int) -> None:
        self.lines: list[bytes] = []
        self.at: dict[str, float] = {}
        self._connection = connect(port)
        self._error: TestbedError | None = None

    def begin(self, descriptor: int) -> None:
        """Start reading from a file descriptor, until its end; closes it."""
        self._thread = threading.Thread(target=self._run, args=(descriptor,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the end of the log; raises the error that stopped forwarding, if any."""
        self._thread.join(10)
        if self._error:
            raise self._error

    def last_line(self) -> str:
        """Return the last line that the server logged."""
        return self.lines[-1].decode("utf-8", "replace") if self.lines else "it logged nothing"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, descriptor: int) -> None:
        with open(descriptor, "rb") as log:
            for line in log:
                text = line.rstrip(b"\n")
                if text and self._error is None:  # syslog-ng drops empty lines
                    self._forward(text)

    def _forward(self, line: bytes) -> None:
        self.at.setdefault(key_of_line("server", line), time.time())
        self.lines.append(line)
        try:
            send(self._connection, line)
        except TestbedError as error:
            self._error = error


def _sent(audit_file: Path, relay: _Relay, server: Receiver) -> Sent:
    """Return the entries of the file device from when both devices were enabled."""
    lines = audit_file.read_bytes().splitlines() if audit_file.exists() else []
    enabling = (number for number, line in enumerate(lines) if _entry(line) == ("response", "sys/audit/socket"))
    shared = lines[next(enabling, len(lines)) :]
    # Vault tests a new device with an entry that only this device gets.
    received = [split_tag(line)[1] for line in server.archive("audit").read_bytes().splitlines()]
    tests = [line for line in received if _entry(line)[1] == "sys/audit/test"]
    audit = [*tests, *shared]
    moments = {key_of_line("audit", line): _time(line) for line in audit}
    by_service: Mapping[Service, Sequence[bytes]] = {"audit": audit, "server": relay.lines}
    return Sent(by_service, moments | relay.at, _identify)


def _identify(line: bytes) -> Hashable:
    """Identify an entry by its request: each of the two devices hashes the same values with its own salt."""
    return key_of_line("audit", line).strip() or line


def _entry(line: bytes) -> tuple[str, str]:
    fields = json.loads(line)
    return fields["type"], fields["request"].get("path", "")


def _time(line: bytes) -> float:
    """Return when Vault wrote an entry, by the clock of this machine."""
    return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
