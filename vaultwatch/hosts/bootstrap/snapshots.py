"""Let the nodes take Raft snapshots: a login by certificate whose token can do nothing else."""

from __future__ import annotations

from collections.abc import Callable

from vaultwatch.hosts.bootstrap.calls import Api, enable_method, expect
from vaultwatch.hosts.bootstrap.plan import SNAPSHOT, SnapshotLogin


def allow_snapshots(api: Api, login: SnapshotLogin, token: str, report: Callable[[str], None]) -> None:
    """Create the policy of snapshots, and the login with a node's certificate that grants it.

    Raises:
        BootstrapError: Vault refuses a part of it.
    """
    policy = f"sys/policies/acl/{SNAPSHOT}"
    expect(api.put(policy, {"policy": login.policy}, token), policy)
    enable_method(api, "cert", token)
    role = {
        "certificate": login.authority,
        "allowed_common_names": [login.nodes],
        "token_policies": [SNAPSHOT],
        "token_no_default_policy": True,
        "token_type": "batch",
        "token_ttl": "10m",
        "token_max_ttl": "10m",
    }
    expect(api.put(f"auth/cert/certs/{SNAPSHOT}", role, token), f"auth/cert/certs/{SNAPSHOT}")
    report("nodes may log in with their certificates to take snapshots")
