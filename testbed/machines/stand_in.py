"""A server in place of OpenBao, where there is none: it answers the bootstrap, and writes what a real server writes.

A machine runs it as `bao server` with Debian's Python: it imports nothing else than the standard library.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from testbed.vault_api import FakeVault

_STATE = Path("/var/lib/vault/stand-in.json")
_TLS = Path("/etc/vault.d/tls")
_DEVICE = re.compile(
    r'^audit "(?P<type>\w+)" "(?P<path>\w+)" \{.*?options \{(?P<options>.*?)\}', re.DOTALL | re.MULTILINE
)
_OPTION = re.compile(r'(\w+)\s*=\s*"([^"]*)"')


@dataclass
class Devices:
    """Both audit devices, as they are declared in the configuration.

    Attributes:
        declared: The devices by their path, as the API shows them.
    """

    declared: dict[str, dict[str, Any]]
    _connection: socket.socket | None = None
    _file: int | None = None

    def write(self, entry: dict[str, Any]) -> None:
        """Write an entry to each device."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with suppress(OSError):  # a real server goes on, too, if another device has the entry
            self._send(line)
        if self._file is None:
            self._file = os.open(self._option("file", "file_path"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        os.write(self._file, line)

    def reopen(self) -> None:
        """Open the file again at the next entry."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _send(self, line: bytes) -> None:
        host, _, port = self._option("socket", "address").partition(":")
        try:
            if self._connection is None:
                self._connection = socket.create_connection((host, int(port)), 2)
            self._connection.sendall(line)
        except OSError:
            self._connection = None
            raise

    def _option(self, path: str, name: str) -> str:
        return str(self.declared[f"{path}/"]["options"][name])


@dataclass
class StandIn:
    """The server: one cluster, whose state is on the disk."""

    vault: FakeVault
    devices: Devices
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, body: dict[str, Any], token: str) -> tuple[int, dict[str, Any]]:
        """Answer a request, and write what it does to the audit devices and to the server log."""
        with self._lock:
            logged = bool(self.vault.audit) and path not in ("sys/health", "sys/init")
            entry = _entry(method, path, known=token in self.vault.tokens)
            if logged:
                self.devices.write({"time": _now(), "type": "request", **entry})
            status, answer = self.vault.answer(method, path, body, token)
            error = {"error": "permission denied"} if status == 403 else {}
            if logged:
                self.devices.write({"time": _now(), "type": "response", **entry, "response": {}, **error})
            _STATE.write_text(json.dumps({**asdict(self.vault), "unreachable": [], "tokens": list(self.vault.tokens)}))
            return status, answer


def _entry(method: str, path: str, *, known: bool) -> dict[str, Any]:
    who = (
        {"display_name": "root", "policies": ["root"], "token_type": "service"} if known else {"token_type": "default"}
    )
    operation = "read" if method == "GET" else "update"
    request = {"id": str(uuid4()), "operation": operation, "namespace": {"id": "root"}, "path": path}
    return {"auth": who, "request": {**request, "remote_address": "127.0.0.1"}}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _log(text: str) -> None:
    entry = {"@level": "info", "@message": text, "@module": "core", "@timestamp": _now()}
    print(json.dumps(entry), flush=True)


def devices_of(configuration: str) -> dict[str, dict[str, Any]]:
    """Return the audit devices that a configuration declares, by their path, as the API shows them."""
    return {
        f"{found['path']}/": {
            "type": found["type"],
            "options": dict(_OPTION.findall(found["options"])),
            "path": f"{found['path']}/",
        }
        for found in _DEVICE.finditer(configuration)
    }


def _load(declared: dict[str, dict[str, Any]]) -> FakeVault:
    if not _STATE.exists():
        return FakeVault("openbao", declared)
    kept = json.loads(_STATE.read_text())
    return FakeVault(**{**kept, "unreachable": frozenset(), "tokens": set(kept["tokens"])})


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do("GET")

        def do_PUT(self) -> None:
            self._do("PUT")

        def log_message(self, *_: object) -> None:
            pass

        def _do(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            path = self.path.removeprefix("/v1/").partition("?")[0]
            if path == "sys/metrics":
                return self._send(200, b"vault_audit_log_request_failure 0\n")
            status, answer = server.answer(method, path, body, self.headers.get("X-Vault-Token", ""))
            self._send(status, b"" if status == 204 else json.dumps(answer).encode())
            return None

        def _send(self, status: int, raw: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


def main(configuration: Path) -> None:
    """Serve until SIGINT; SIGHUP loads the certificate and opens the audit file again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    devices = Devices(devices_of(configuration.read_text()))
    server = StandIn(_load(devices.declared), devices)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_TLS / "host.pem", _TLS / "host.key")
    for address in (("0.0.0.0", 8200), ("127.0.0.1", 8210)):  # noqa: S104  as the configuration says
        listener = ThreadingHTTPServer(address, _handler(server))
        listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    _log("post-unseal setup complete")
    while signal.sigwait({signal.SIGHUP}):
        tls.load_cert_chain(_TLS / "host.pem", _TLS / "host.key")
        devices.reopen()
        _log("reloaded")


if __name__ == "__main__":
    main(Path(sys.argv[-1].partition("=")[2]))
