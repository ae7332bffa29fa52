"""A driver for a Vault or OpenBao server: what its clients do, through the HTTP API."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError

_START_SECONDS = 20.0
_CALL_SECONDS = 15.0
_ADMINISTRATOR = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


class Vault:
    """A client of a server on loopback that is not initialised yet, in the role of its administrators.

    Args:
        port: The port of the server.
        is_openbao: Whether it is OpenBao, some of whose endpoints differ.
    """

    def __init__(self, port: int, is_openbao: bool) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/"
        self._is_openbao = is_openbao
        self._keys: list[str] = []
        self._root = ""
        self._alice = ""

    def wait_for_start(self, is_alive: Callable[[], bool], said: Callable[[], str]) -> None:
        """Wait until the server answers.

        Args:
            is_alive: Whether its process still runs.
            said: Returns the last line that it logged, for the error.

        Raises:
            TestbedError: If it ends or never answers.
        """
        self._wait(lambda: not is_alive() or self._status("sys/seal-status") is not None)
        if not is_alive():
            raise TestbedError(f"the server ended while it was starting: {said()}")

    def initialise(self) -> None:
        """Initialise the server, which creates the unseal keys and the root token, and unseal it."""
        made = self._call("POST", "sys/init", {"secret_shares": 3, "secret_threshold": 2})
        self._keys, self._root = made["keys_base64"], made["root_token"]
        self._unseal()

    def enable_devices(self, folder: Path, port: int) -> None:
        """Enable a file audit device, whose log is the reference, and a socket audit device."""
        self._enable("file", "file", {"file_path": str(folder / "audit.jsonl")})
        address = {"address": f"127.0.0.1:{port}", "socket_type": "tcp", "write_timeout": "100ms"}
        self._enable("socket", "socket", address)

    def create_alice(self) -> None:
        """Create alice, an administrator who is not root, and log her in."""
        password = secrets.token_urlsafe()
        self._call("PUT", "sys/policies/acl/administrator", {"policy": _ADMINISTRATOR}, self._root)
        self._call("POST", "sys/auth/userpass", {"type": "userpass"}, self._root)
        user = {"password": password, "token_policies": "administrator"}
        self._call("POST", "auth/userpass/users/alice", user, self._root)
        self._alice = self._call("POST", "auth/userpass/login/alice", {"password": password})["auth"]["client_token"]

    def use_secrets(self) -> None:
        """Write and read secrets, as on an ordinary day."""
        self._call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, self._alice)
        self._wait(lambda: self._status("secret/config", self._alice) == 200)  # Vault first upgrades a new mount
        for number in range(20):
            path = f"secret/data/app/{number}"
            self._call("POST", path, {"data": {"password": secrets.token_urlsafe()}}, self._alice)
            self._call("GET", path, None, self._alice)

    def start_root_generation(self) -> None:
        """Start the generation of a root token, and cancel it."""
        path = "sys/generate-root-token/attempt" if self._is_openbao else "sys/generate-root/attempt"
        self._call("PUT", path, {}, self._root)
        self._call("DELETE", path, None, self._root)

    def change_policies(self) -> None:
        """Write a policy and delete it."""
        self._call("PUT", "sys/policies/acl/intruder", {"policy": _ADMINISTRATOR}, self._alice)
        self._call("DELETE", "sys/policies/acl/intruder", None, self._alice)

    def disable_a_device(self, folder: Path) -> None:
        """Enable and disable a third audit device, which the other two log."""
        self._enable("third", "file", {"file_path": str(folder / "third.jsonl")})
        self._call("DELETE", "sys/audit/third", None, self._alice)

    def seal_and_unseal(self) -> None:
        """Seal the server with a request, which Vault never answers, and unseal it."""
        self._call("PUT", "sys/seal", {}, self._alice)
        self._wait(lambda: self._status("sys/health") == 503)
        self._unseal()

    def _enable(self, name: str, kind: str, options: dict[str, str]) -> None:
        self._call("PUT", f"sys/audit/{name}", {"type": kind, "options": options}, self._alice or self._root)

    def _unseal(self) -> None:
        for key in self._keys[:2]:
            self._call("POST", "sys/unseal", {"key": key})
        self._wait(lambda: self._status("sys/health") == 200)

    def _wait(self, holds: Callable[[], bool]) -> None:
        end_at = time.monotonic() + _START_SECONDS
        while not holds():
            if time.monotonic() > end_at:
                raise TestbedError("the server did not reach the expected state in time")
            time.sleep(0.05)

    def _status(self, path: str, token: str = "") -> int | None:
        try:
            return self._ask("GET", path, None, token)[0]
        except OSError:
            return None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        try:
            status, answer = self._ask(method, path, body, token)
        except OSError as error:
            raise TestbedError(f"the server did not answer {method} {path}: {error}") from error
        if status >= 300:
            raise TestbedError(f"the server answered {method} {path} with {status}: {answer.get('errors')}")
        return answer

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)  # noqa: S310  http, on loopback
        if token:
            request.add_header("X-Vault-Token", token)
        try:
            with _DIRECT.open(request, timeout=_CALL_SECONDS) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy, whatever the environment says


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
