"""What a client asks a Vault or OpenBao for, by its HTTP API."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.errors import DemoError

_START_SECONDS = 20.0
_CALL_SECONDS = 15.0
_ADMINISTRATOR = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


class Vault:
    """A server on loopback that is not initialised yet, and its administrators."""

    def __init__(self, port: int, is_openbao: bool) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/"
        self._is_openbao = is_openbao
        self._keys: list[str] = []
        self._root = ""
        self._alice = ""

    def wait_for_start(self, is_alive: Callable[[], bool], said: Callable[[], str]) -> None:
        """Until it answers; raises `DemoError` if it does not."""
        self._wait(lambda: not is_alive() or self._status("sys/seal-status") is not None)
        if not is_alive():
            raise DemoError(f"the server ended at its start: {said()}")

    def initialise(self) -> None:
        """Make its keys and the root token, and unseal it."""
        made = self._call("POST", "sys/init", {"secret_shares": 3, "secret_threshold": 2})
        self._keys, self._root = made["keys_base64"], made["root_token"]
        self._unseal()

    def enable_devices(self, folder: Path, port: int) -> None:
        """A file device, which is the truth here, and the socket device."""
        self._enable("file", "file", {"file_path": str(folder / "audit.jsonl")})
        address = {"address": f"127.0.0.1:{port}", "socket_type": "tcp", "write_timeout": "100ms"}
        self._enable("socket", "socket", address)

    def let_alice_in(self) -> None:
        """An administrator who is not root."""
        password = secrets.token_urlsafe()
        self._call("PUT", "sys/policies/acl/administrator", {"policy": _ADMINISTRATOR}, self._root)
        self._call("POST", "sys/auth/userpass", {"type": "userpass"}, self._root)
        user = {"password": password, "token_policies": "administrator"}
        self._call("POST", "auth/userpass/users/alice", user, self._root)
        self._alice = self._call("POST", "auth/userpass/login/alice", {"password": password})["auth"]["client_token"]

    def work(self) -> None:
        """An ordinary hour."""
        self._call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, self._alice)
        self._wait(lambda: self._status("secret/config", self._alice) == 200)  # a new mount is upgraded first
        for number in range(20):
            path = f"secret/data/app/{number}"
            self._call("POST", path, {"data": {"password": secrets.token_urlsafe()}}, self._alice)
            self._call("GET", path, None, self._alice)

    def begin_root_generation(self) -> None:
        """Start and cancel."""
        path = "sys/generate-root-token/attempt" if self._is_openbao else "sys/generate-root/attempt"
        self._call("PUT", path, {}, self._root)
        self._call("DELETE", path, None, self._root)

    def change_policies(self) -> None:
        """Write one and delete it."""
        self._call("PUT", "sys/policies/acl/intruder", {"policy": _ADMINISTRATOR}, self._alice)
        self._call("DELETE", "sys/policies/acl/intruder", None, self._alice)

    def disable_a_device(self, folder: Path) -> None:
        """A third one, so that the other two see it go."""
        self._enable("third", "file", {"file_path": str(folder / "third.jsonl")})
        self._call("DELETE", "sys/audit/third", None, self._alice)

    def seal_and_return(self) -> None:
        """Seal it by a request, which no response follows, and unseal it."""
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
                raise DemoError("the server does not come to where it should be")
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
            raise DemoError(f"the server did not answer {method} {path}: {error}") from error
        if status >= 300:
            raise DemoError(f"the server answered {method} {path} with {status}: {answer.get('errors')}")
        return answer

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)  # noqa: S310  http, to ourselves
        if token:
            request.add_header("X-Vault-Token", token)
        try:
            with _DIRECT.open(request, timeout=_CALL_SECONDS) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the machine has


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body) if body else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
