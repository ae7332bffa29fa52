"""Make the call of the canary on this node; see `vaultwatch.canary`."""

from __future__ import annotations

from vaultwatch.canary import CANARY
from vaultwatch.errors import InstallError
from vaultwatch.hosts.bootstrap.calls import Api
from vaultwatch.hosts.logins import log_in

_CALL = "auth/token/lookup-self"


def send_canary(api: Api) -> None:
    """Log in with the certificate of this host, and make the one call that the token allows.

    Args:
        api: This node, with the certificate of its host.

    Raises:
        BootstrapError: Vault does not answer.
        InstallError: It refuses.
    """
    answer = api.get(_CALL, log_in(api, CANARY, InstallError))
    if not answer.ok:
        raise InstallError(f"Vault refuses the call of the canary: {answer.status} {answer.errors}")
