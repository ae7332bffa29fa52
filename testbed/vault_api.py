"""A stand-in for the part of the HTTP API of Vault and OpenBao that the bootstrap of a cluster uses.

It answers as real servers do: Vault 1.14 and 2.x, and OpenBao 2.6, whose answers were recorded.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Answer = tuple[int, dict[str, Any]]
_NOTHING: Answer = (204, {})
_DENIED: Answer = (403, {"errors": ["permission denied"]})


@dataclass
class FakeVault:
    """The state of one cluster with auto-unseal, and its answers.

    Attributes:
        product: Which server it imitates.
        declared: OpenBao: the audit devices that its configuration declares.
        unreachable: Types of audit devices that cannot be enabled, because nothing answers at their address.
        tokens: The tokens that are valid.
        initialisations: How often it was initialised.
    """

    product: Literal["vault", "openbao"] = "vault"
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreachable: frozenset[str] = frozenset()
    sealed: bool = False
    tokens: set[str] = field(default_factory=set)
    audit: dict[str, dict[str, Any]] = field(default_factory=dict)
    auth: dict[str, dict[str, Any]] = field(default_factory=lambda: {"token/": {"type": "token"}})
    written: dict[str, dict[str, Any]] = field(default_factory=dict)
    initialisations: int = 0

    def answer(self, method: str, path: str, body: dict[str, Any], token: str) -> Answer:
        """Answer one call.

        Args:
            method: GET or PUT.
            path: The path below `/v1/`.
            body: The JSON object of the request.
            token: The caller's token.
        """
        if path == "sys/health":
            return (200 if self._active else 503 if self.initialisations else 501), {"sealed": not self._active}
        if path == "sys/init":
            return self._initialise(body) if method == "PUT" else (200, {"initialized": bool(self.initialisations)})
        if not self._active:
            return 503, {"errors": ["Vault is sealed"]}
        if path == "auth/cert/login" and f"auth/cert/certs/{body['name']}" in self.written:
            return self._log_in(body["name"])
        if token not in self.tokens:
            return _DENIED
        return self._authorised(method, path, body, token)

    @property
    def _active(self) -> bool:
        return bool(self.initialisations) and not self.sealed

    def _log_in(self, role: str) -> Answer:
        """Give each role one token; whose certificate it is for is not checked."""
        self.tokens.add(f"hvb.{role}")
        return 200, {"auth": {"client_token": f"hvb.{role}", "policies": [role]}}

    def _initialise(self, body: dict[str, Any]) -> Answer:
        if self.initialisations:
            return 400, {"errors": ["Vault is already initialized"]}
        if "recovery_shares" not in body:
            return 400, {"errors": ["invalid recovery configuration: invalid share count"]}
        self.initialisations += 1
        root = "hvs." + secrets.token_urlsafe(18)
        self.tokens.add(root)
        self.audit = dict(self.declared)
        keys = [base64.b64encode(secrets.token_bytes(33)).decode() for _ in range(body["recovery_shares"])]
        return 200, {"keys": [], "keys_base64": [], "recovery_keys_base64": keys, "root_token": root}

    def _authorised(self, method: str, path: str, body: dict[str, Any], token: str) -> Answer:
        if path == "auth/token/lookup-self":
            return 200, {"data": {"policies": ["root"], "display_name": "root"}}
        if path == "auth/token/revoke-self":
            self.tokens.discard(token)
            return _NOTHING
        if method == "GET" and path in ("sys/audit", "sys/auth"):
            return 200, {"data": self.audit if path == "sys/audit" else self.auth}
        if path.startswith("sys/audit/"):
            return self._enable_device(path.removeprefix("sys/audit/") + "/", body)
        if path.startswith("sys/auth/"):
            return self._enable_method(path.removeprefix("sys/auth/") + "/", body)
        return self._write(path, body)

    def _enable_device(self, path: str, body: dict[str, Any]) -> Answer:
        if self.product == "openbao":
            use = "use declarative, config-based audit device management instead"
            return 400, {"errors": [f"cannot enable audit device via API; {use}"]}
        if path in self.audit:
            return 400, {"errors": [f"path already in use at {path}"]}
        if body["type"] in self.unreachable:
            return 400, {"errors": ["sanity check failed; unable to open for writing: connection refused"]}
        self.audit[path] = {"type": body["type"], "options": body["options"], "path": path}
        return _NOTHING

    def _enable_method(self, path: str, body: dict[str, Any]) -> Answer:
        if path in self.auth:
            return 400, {"errors": [f"path is already in use at {path}"]}
        if self.product == "openbao" and body["type"] == "aws":
            return 400, {"errors": ["plugin not found in the catalog: aws"]}
        self.auth[path] = {"type": body["type"]}
        return _NOTHING

    def _write(self, path: str, body: dict[str, Any]) -> Answer:
        method = path.split("/")[1] if path.startswith("auth/") else ""
        if method and f"{method}/" not in self.auth:
            return 404, {"errors": [f"no handler for route {path!r}. route entry not found."]}
        self.written[path] = body
        return _NOTHING


@contextmanager
def serving(vault: FakeVault) -> Iterator[str]:
    """Serve the API on a port of loopback while the context lasts, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do("GET")

        def do_PUT(self) -> None:
            self._do("PUT")

        def log_message(self, *_: object) -> None:  # quiet
            pass

        def _do(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            path, token = self.path.removeprefix("/v1/"), self.headers.get("X-Vault-Token", "")
            status, answer = vault.answer(method, path, body, token)
            raw = b"" if status == _NOTHING[0] else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
