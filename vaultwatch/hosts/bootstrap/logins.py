"""Let the nodes log in with their certificates, each time for one purpose."""

from __future__ import annotations

from collections.abc import Callable

from vaultwatch.hosts.bootstrap.calls import Api, enable_method, expect
from vaultwatch.hosts.bootstrap.plan import NodeLogin


def allow_login(api: Api, login: NodeLogin, token: str, report: Callable[[str], None]) -> None:
    """Create a policy, and the login with a node's certificate whose token has it and no other.

    Raises:
        BootstrapError: Vault refuses a part of it.
    """
    policy = f"sys/policies/acl/{login.name}"
    expect(api.put(policy, {"policy": login.policy}, token), policy)
    enable_method(api, "cert", token)
    role = {
        "certificate": login.authority,
        "allowed_common_names": [login.nodes],
        "token_policies": [login.name],
        "token_no_default_policy": True,
        "token_type": "batch",
        "token_ttl": "10m",
        "token_max_ttl": "10m",
    }
    expect(api.put(f"auth/cert/certs/{login.name}", role, token), f"auth/cert/certs/{login.name}")
    report(f"nodes may log in with their certificates: {login.name}")
