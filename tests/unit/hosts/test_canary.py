"""The canary of a node: a login, and the one call that its token allows."""

from __future__ import annotations

import pytest

from testbed.vault_api import FakeVault, serving
from vaultwatch.canary import CANARY
from vaultwatch.errors import InstallError
from vaultwatch.hosts.bootstrap import VaultApi
from vaultwatch.hosts.canary import send_canary


def test_it_logs_in_under_its_role_and_makes_its_call() -> None:
    vault = FakeVault(initialisations=1, written={f"auth/cert/certs/{CANARY}": {}})
    with serving(vault) as address:
        send_canary(VaultApi(address, None))
    assert vault.tokens == {f"hvb.{CANARY}"}


def test_a_refused_login_says_why() -> None:
    with (
        serving(FakeVault(initialisations=1)) as address,
        pytest.raises(
            InstallError, match=r"^Vault refuses the login with the host's certificate: 403 permission denied"
        ),
    ):
        send_canary(VaultApi(address, None))
