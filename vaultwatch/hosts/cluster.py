"""Bootstrap the cluster of this node, from the values of its host.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from vaultwatch.canary import CANARY
from vaultwatch.host_settings import NODE_PREFIX
from vaultwatch.hosts.bootstrap import (
    SNAPSHOT,
    Attempt,
    LocalKeys,
    NodeLogin,
    Plan,
    Secret,
    SecretKeys,
    VaultApi,
    audit_devices,
    bootstrap,
)
from vaultwatch.hosts.programs import start_over

AUTHORITY = Path("/etc/vaultwatch/tls/authority.pem")
LOCAL_KEYS = Path("/run/vaultwatch-bootstrap/recovery-keys")
ATTEMPT = Path("/var/lib/vaultwatch/bootstrap/initialising")
_LOGS = "/var/log/vault"


def bootstrap_cluster(
    values: Mapping[str, str],
    assets: Path,
    client: Any,
    report: Callable[[str], None],
    *,
    address: str = "",
    authority: Path | None = AUTHORITY,
    local: Path = LOCAL_KEYS,
    attempt: Path = ATTEMPT,
) -> None:
    """Set up the cluster if this is its first node; the others join it.

    Args:
        values: The values of host.json of a node.
        assets: The folder with the assets.
        client: boto3's client of Secrets Manager.
        report: Called with a line for each step that is done.
        address: The API of this node; its own name by default.
        authority: The certificate by which the node is known; None for plain HTTP on loopback.
        local: Where the keys are kept until Secrets Manager has them.
        attempt: The file that remains if the initialisation is interrupted.

    Raises:
        BootstrapError: It cannot go on. Nothing has to be undone before it is run again.
    """
    own, first = f"{values['name']}.{values['domain']}", values["nodes"].split(",")[0]
    if own != first:
        report(f"{first} sets up the cluster")
        return
    bootstrap(
        VaultApi(address or f"https://{own}:8200", authority),
        plan_of(values, assets, authority),
        keys=SecretKeys(Secret(client, values["recovery_secret"], "the recovery keys")),
        local=LocalKeys(local),
        attempt=Attempt(attempt, start_over),
        password=Secret(client, values["administrator_secret"], "the administrator's password"),
        report=report,
    )


def plan_of(values: Mapping[str, str], assets: Path, authority: Path | None = None) -> Plan:
    """Return what a bootstrap sets up on a node with these values.

    Args:
        values: The values of host.json of a node.
        assets: The folder with the assets.
        authority: The certificate of the authority; without one, nodes cannot log in.
    """
    return Plan(
        product=cast(Any, values["product"]),
        devices=audit_devices(_LOGS),
        policy=(assets / "vault/administrator.hcl").read_text("utf-8"),
        administrators=tuple(filter(None, values["administrators"].split(","))),
        server_id=values["api_name"],
        logins=tuple(_login(name, assets, authority) for name in (SNAPSHOT, CANARY)) if authority else (),
    )


def _login(name: str, assets: Path, authority: Path) -> NodeLogin:
    policy = (assets / f"vault/{name}.hcl").read_text("utf-8")
    return NodeLogin(name, policy, authority.read_text("utf-8"), nodes=f"{NODE_PREFIX}*")
