"""A node sets up its cluster with what its host.json says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from moto import mock_aws

from testbed.host_values import NODE
from testbed.vault_api import FakeVault, serving
from vaultwatch.hosts.cluster import bootstrap_cluster, plan_of

ASSETS = Path(__file__).parents[3] / "assets"
OPENBAO = {**NODE, "product": "openbao", "administrators": ""}


@pytest.fixture
def client() -> Any:
    with mock_aws():
        yield boto3.client("secretsmanager")


@pytest.mark.parametrize("values", [NODE, OPENBAO], ids=lambda values: values["product"])
def test_the_first_node_sets_up_the_cluster(values: dict[str, str], client: Any, tmp_path: Path) -> None:
    values = values | {name: client.create_secret(Name=name)["ARN"] for name in values if name.endswith("_secret")}
    values["nodes"] = f"{values['name']}.{values['domain']}"
    devices = plan_of(values, ASSETS).devices
    vault = FakeVault("vault" if values["product"] == "vault" else "openbao")
    vault.declared = {f"{device.path}/": {"type": device.type, "options": device.options} for device in devices}
    with serving(vault) as address:
        bootstrap_cluster(
            values,
            ASSETS,
            client,
            lambda _: None,
            address=address,
            authority=None,
            local=tmp_path / "keys",
            attempt=tmp_path / "initialising",
        )
    kept = msgspec.json.decode(client.get_secret_value(SecretId=values["recovery_secret"])["SecretString"])
    assert (len(kept["recovery_keys"]), kept["completed"], vault.tokens) == (5, True, set())
    assert not (tmp_path / "keys").exists()


def test_another_node_leaves_it_to_the_first(client: Any) -> None:
    said: list[str] = []
    bootstrap_cluster({**NODE, "nodes": "vault-0.vaultwatch.internal"}, ASSETS, client, said.append)
    assert said == ["vault-0.vaultwatch.internal sets up the cluster"]


def test_openbao_declares_the_devices_that_vault_gets_by_its_api() -> None:
    declared = re.sub(r"\s+", " ", (ASSETS / "vault/openbao.hcl").read_text())
    for device in plan_of(OPENBAO, ASSETS).devices:
        stanza = declared.partition(f'audit "{device.type}" "{device.path}" {{')[2].partition("} }")[0]
        options = dict(re.findall(r'(\w+) = "([^"]*)"', stanza.partition("options {")[2]))
        assert options == device.options


def test_the_administrator_is_not_root() -> None:
    policy = (ASSETS / "vault/administrator.hcl").read_text()
    paths = re.findall(r'^path "([^"]+)"', policy, re.MULTILINE)
    assert not [path for path in paths if path in ("*", "sys/*", "secret/*") or path.startswith(("sys/raw", "+"))]
    devices = policy.partition('path "sys/audit" {')[2].partition("}")[0]
    assert 'capabilities = ["read", "sudo"]' in devices
