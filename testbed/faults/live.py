"""A real Vault or OpenBao as the sender: clients make calls of its API, and it writes to both of its devices."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

from testbed.certificates import Authority
from testbed.errors import TestbedError
from testbed.faults.entries import alerted, names_of_entries
from testbed.faults.sender import URGENT
from testbed.lanes import Node
from testbed.processes import end, start
from testbed.vault_node import NodeConfiguration
from vaultwatch.errors import BootstrapError
from vaultwatch.hosts.bootstrap import VaultApi, audit_devices
from vaultwatch.hosts.bootstrap.api import Answer

_CLIENTS = 4
_START_SECONDS = 60.0
_HUNG_SECONDS = 300.0
_PAUSE_SECONDS = 0.02
_HASH_EVERY, _WRITE_EVERY = 10, 5  # calls; each call is two entries
_DEVICE_TEST = b'"path":"sys/audit/test"'
_LOAD = """
path "secret/*" { capabilities = ["create", "read", "update"] }
path "sys/audit-hash/file" { capabilities = ["create", "update"] }
path "transit/export/*" { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update"] }
"""


class LiveSender:
    """The `vault` or `bao` on PATH with the configuration of a node, and clients that use it; see `Sender`.

    A call that was answered owes both of its entries; so does every whole line of the file device.

    Args:
        folder: The folder for its files; it is created.
        node: The node's syslog-ng, which listens to the socket device.
        authority: It issues the certificate of its API.
        between_seconds: How long, on average, the clients wait between two entries.

    Attributes:
        longest_seconds: The longest time that an answered call took.
    """

    def __init__(self, folder: Path, node: Node, authority: Authority, between_seconds: float) -> None:
        self.longest_seconds = 0.0
        self.urgent: set[str] = set()
        self._audit, self._node = node.audit_file.parent, node
        self._answered: set[str] = set()
        self._hashed: set[str] = set()
        self.refused: list[str] = []
        self._numbers = count(1)
        self._running, self._ended = Event(), Event()
        self._pause_seconds = between_seconds * 2 * _CLIENTS
        self._server = _Server(folder, node, authority)
        try:
            self._server.start()
            self._token = self._server.set_up()
        except BaseException:
            self._server.end("KILL")
            raise
        self._running.set()
        self._clients = [Thread(target=self._use) for _ in range(_CLIENTS)]
        for client in self._clients:
            client.start()

    @property
    def owed(self) -> set[str]:
        """See `Sender`."""
        answered = {f"{request} {kind}" for request in self._answered for kind in ("request", "response")}
        return answered | set(self.in_file)

    @property
    def alerting(self) -> set[str]:
        """See `Sender`; also every other request in the file on which the rules raise an alert."""
        written = self._written()
        ids = {name.partition(" ")[0] for name in names_of_entries(written)}
        return self._hashed | (alerted(written) & ids)

    @property
    def in_file(self) -> Sequence[str]:
        """See `Sender`."""
        return names_of_entries(self._written())

    def reopen(self) -> None:
        """Let the server open its file again."""
        self._server.signal(signal.SIGHUP)

    def restart(self, kind: Literal["KILL", "TERM"]) -> None:
        """End the server while clients use it, and start it again."""
        self._running.clear()
        self._server.end(kind)
        self._server.start()
        self._running.set()

    def send(self, entries: int) -> None:
        """Wait until the server has answered calls with so many entries.

        Raises:
            TestbedError: It hangs.
        """
        enough, end_at = len(self._answered) + entries / 2, time.monotonic() + _HUNG_SECONDS
        while len(self._answered) < enough:
            if time.monotonic() > end_at or not any(client.is_alive() for client in self._clients):
                raise TestbedError(f"the server answers no calls: {self.refused[-1:]}")
            time.sleep(0.005)

    def send_urgent(self, acts: int) -> None:
        """Export a key so many times, each time as somebody else."""
        api = self._server.api()
        for _ in range(acts):
            name = f"{URGENT}{next(self._numbers)}"
            person = {"display_name": name.replace(URGENT, "person-"), "policies": ["load"]}
            token = _wanted(api.put("auth/token/create", person, self._token))["auth"]["client_token"]
            answer = _wanted(api.get(f"transit/export/encryption-key/{self._server.key_to_export(name)}", token))
            self._answered.add(answer["request_id"])
            self._hashed.add(answer["request_id"])
            self.urgent.add(name)

    def stop(self) -> None:
        """End the clients and the server."""
        if self._ended.is_set():
            return
        self._ended.set()
        for client in self._clients:
            client.join()
        self._server.end("TERM")

    def _written(self) -> list[bytes]:
        """Return the lines of all files of the file device, oldest first, but for those that only this device has."""
        current = self._node.audit_file
        rotated = sorted(file for file in self._audit.glob(f"{current.name}-*") if not file.name.endswith(".archived"))
        lines = [line for file in (*rotated, current) if file.exists() for line in file.read_bytes().splitlines()]
        return [line for line in lines if _DEVICE_TEST not in line]

    def _use(self) -> None:
        api = self._server.api()
        while not self._ended.wait(self._pause_seconds):
            number = next(self._numbers)
            begin, was_running = time.monotonic(), self._running.is_set()
            try:
                answer = self._call(api, number)
            except BootstrapError as error:
                self._refuse(str(error), was_running)
                continue
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - begin)
            if not answer.ok:
                self._refuse(f"{answer.status}: {answer.errors}", was_running)
            else:
                request = str(answer.body["request_id"])
                self._answered.add(request)
                if number % _HASH_EVERY == 0:
                    self._hashed.add(request)

    def _call(self, api: VaultApi, number: int) -> Answer:
        if number % _HASH_EVERY == 0:
            return api.put("sys/audit-hash/file", {"input": str(number)}, self._token)
        if number % _WRITE_EVERY == 0:
            return api.put(f"secret/data/app/{number}", {"data": {"password": str(number)}}, self._token)
        return api.get(f"secret/data/app/seed?version={number % 2}&call={number}", self._token)

    def _refuse(self, reason: str, was_running: bool) -> None:
        """Note a call that failed; while the server is ended and started, it may."""
        if was_running and self._running.is_set():
            self.refused.append(reason)
        self._ended.wait(_PAUSE_SECONDS)


class _Server:
    """The server's process, and what its administrators do once."""

    def __init__(self, folder: Path, node: Node, authority: Authority) -> None:
        folder.mkdir()
        self._folder, self._node = folder, node
        self._program, self._is_openbao = server_on_path(), version_on_path().startswith("OpenBao")
        tls = folder / "tls"  # not the node's, which some faults replace
        authority.install(tls, authority.issue("vault-1", ["localhost"]))
        self._audit = node.audit_file.parent
        self._port = node.audit_port
        configuration = NodeConfiguration(
            folder,
            tls=tls,
            audit=self._audit,
            audit_port=self._port,
            key=folder / "key",
            product="openbao" if self._is_openbao else "vault",
        )
        self._url, self._authority = f"https://localhost:{configuration.port}", tls / "authority.pem"
        self._file = configuration.write()
        self._keys: list[str] = []
        self._root = ""
        self._process: subprocess.Popen[bytes] | None = None

    def api(self) -> VaultApi:
        """Return a client of its own."""
        return VaultApi(self._url, self._authority)

    def start(self) -> None:
        """Start it, and wait until it serves; without auto-unseal, it is unsealed."""
        if self._node.audit_port != self._port:
            raise TestbedError("the port of the socket device was taken by another process; please try again")
        with (self._folder / "server.log").open("ab") as log:
            environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
            command = [self._program, "server", f"-config={self._file}"]
            self._process = start(command, log.fileno(), environment, self._folder)
        if self._root:
            self._wait_for(200, 503)
            self._unseal()

    def end(self, kind: Literal["KILL", "TERM"]) -> None:
        """End it."""
        if self._process is None:
            return
        if kind == "KILL":
            self._process.kill()
            self._process.wait()
        else:
            end(self._process)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def set_up(self) -> str:
        """Initialise it, enable both devices if it does not declare them, and return the clients' token."""
        self._wait_for(501)
        shares = "recovery_{}" if self._is_openbao else "secret_{}"
        api = self.api()
        made = _wanted(api.put("sys/init", {shares.format("shares"): 1, shares.format("threshold"): 1}))
        self._root, self._keys = made["root_token"], made["keys_base64"]
        self._unseal()
        if not self._is_openbao:
            for device in audit_devices(str(self._audit), self._port):
                body: dict[str, Any] = {"type": device.type, "options": device.options}
                _wanted(api.put(f"sys/audit/{device.path}", body, self._root))
        setting_up: dict[str, dict[str, Any]] = {
            "sys/mounts/secret": {"type": "kv", "options": {"version": "2"}},
            "sys/mounts/transit": {"type": "transit"},
            "sys/policies/acl/load": {"policy": _LOAD},
        }
        for path, body in setting_up.items():
            _wanted(api.put(path, body, self._root))
        self._write_seed(api)
        return str(_wanted(api.put("auth/token/create", {"policies": ["load"]}, self._root))["auth"]["client_token"])

    def key_to_export(self, name: str) -> str:
        """Create a key that can be exported."""
        _wanted(self.api().put(f"transit/keys/{name}", {"exportable": True}, self._root))
        return name

    def _write_seed(self, api: VaultApi) -> None:
        """Write the secret that clients read; a new mount first upgrades itself."""
        for _ in _until("the secrets engine is not ready"):
            if api.put("secret/data/app/seed", {"data": {"password": "seed"}}, self._root).ok:
                return

    def _unseal(self) -> None:
        for key in self._keys:
            _wanted(self.api().put("sys/unseal", {"key": key}))
        self._wait_for(200)

    def _wait_for(self, *statuses: int) -> None:
        api = self.api()
        for _ in _until(f"the server does not start: {self._said()}"):
            if self._process is None or self._process.poll() is not None:
                raise TestbedError(f"the server ended while it was starting: {self._said()}")
            with suppress(BootstrapError):
                if api.get("sys/health").status in statuses:
                    return

    def _said(self) -> str:
        lines = (self._folder / "server.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it logged nothing"


def version_on_path() -> str:
    """Return the name and the version of the server on PATH: "OpenBao v2.6.2"; see `server_on_path`."""
    said = subprocess.run([server_on_path(), "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return " ".join(said.split()[:2])


def server_on_path() -> str:
    """Return the path of the `vault` or `bao` on PATH.

    Raises:
        TestbedError: There is none.
    """
    for name in ("vault", "bao"):
        if program := shutil.which(name):
            return program
    raise TestbedError("LIVE=1 needs vault or bao on PATH, and neither was found")


def _wanted(answer: Answer) -> dict[str, Any]:
    if not answer.ok:
        raise TestbedError(f"the server refused a call: {answer.status}: {answer.errors}")
    return answer.body


def _until(problem: str) -> Iterator[None]:
    end_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < end_at:
        yield
        time.sleep(0.05)
    raise TestbedError(problem)
