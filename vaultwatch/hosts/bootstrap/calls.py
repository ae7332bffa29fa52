"""The API as the steps of a bootstrap use it, and how they report a refusal."""

from __future__ import annotations

from typing import Any, Protocol

from vaultwatch.errors import BootstrapError
from vaultwatch.hosts.bootstrap.api import Answer


class Api(Protocol):
    """The calls of `VaultApi`; each raises BootstrapError if the node does not answer."""

    def get(self, path: str, token: str = "") -> Answer:
        """Read a path below `/v1/`."""
        ...

    def put(self, path: str, body: dict[str, Any], token: str = "") -> Answer:
        """Write to a path below `/v1/`."""
        ...


def enable_method(api: Api, method: str, token: str) -> None:
    """Enable an auth method at its usual path, unless it is enabled.

    Raises:
        BootstrapError: Vault refuses.
    """
    there = expect(api.get("sys/auth", token), "sys/auth").body.get("data")
    if not isinstance(there, dict) or f"{method}/" not in there:
        expect(api.put(f"sys/auth/{method}", {"type": method}, token), f"sys/auth/{method}")


def expect(answer: Answer, path: str) -> Answer:
    """Return the answer of a call that succeeded.

    Raises:
        BootstrapError: The call was refused or failed; the error has Vault's reason.
    """
    if not answer.ok:
        raise BootstrapError(f"{path}: {answer.status}: {answer.errors}")
    return answer
