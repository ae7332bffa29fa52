"""Log in to Vault with the certificate of this host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vaultwatch.errors import VaultwatchError
from vaultwatch.hosts.bootstrap import VaultApi
from vaultwatch.hosts.bootstrap.calls import Api


def node_api(values: Mapping[str, str], tls: Path, address: str = "") -> VaultApi:
    """Return the API of this node, as a client with the certificate of its host.

    Args:
        values: The values of host.json of a node.
        tls: The folder of the certificate.
        address: The API of this node; its own name by default.
    """
    own = address or f"https://{values['name']}.{values['domain']}:8200"
    return VaultApi(own, tls / "authority.pem", identity=tls)


def log_in(api: Api, role: str, error: type[VaultwatchError]) -> str:
    """Return a token with what a role of the auth method `cert` allows.

    Args:
        api: This node, with the certificate of its host.
        role: The role.
        error: What to raise if Vault refuses.

    Raises:
        BootstrapError: Vault does not answer.
    """
    login = api.put("auth/cert/login", {"name": role})
    token = login.body.get("auth", {}).get("client_token")
    if not login.ok or not isinstance(token, str):
        raise error(f"Vault refuses the login with the host's certificate: {login.status} {login.errors}")
    return token
