"""Bootstrap of a real OpenBao that unseals itself, with the audit devices that its configuration declares."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testbed.processes import end, start
from testbed.syslog_ng import free_port
from tests.unit.hosts.test_bootstrap import Attempted, Memory
from vaultwatch.hosts.bootstrap import AuditDevice, Plan, VaultApi, audit_devices, bootstrap

pytestmark = pytest.mark.skipif(not shutil.which("bao"), reason="no bao")


@pytest.fixture
def syslog_port() -> Iterator[int]:
    """A port at which the socket audit device finds somebody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def plan(tmp_path: Path, syslog_port: int) -> Plan:
    policy = 'path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "list"] }'
    return Plan(product="openbao", devices=audit_devices(str(tmp_path), syslog_port), policy=policy)


@pytest.fixture
def address(tmp_path: Path, plan: Plan) -> Iterator[str]:
    port, log = free_port(), tmp_path / "server.log"
    configuration = tmp_path / "server.json"
    (tmp_path / "key").write_bytes(os.urandom(32))
    (tmp_path / "data").mkdir()
    configuration.write_text(json.dumps(_configuration(tmp_path, port, plan.devices)))
    with log.open("wb") as output:
        command = ["bao", "server", f"-config={configuration}"]
        process = start(command, output.fileno(), {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, tmp_path)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def _configuration(folder: Path, port: int, devices: tuple[AuditDevice, ...]) -> dict[str, Any]:
    return {
        "storage": {"raft": {"path": str(folder / "data"), "node_id": "vault-1"}},
        "listener": {"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}},
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": f"http://127.0.0.1:{free_port()}",
        "seal": {"static": {"current_key_id": "1", "current_key": f"file://{folder / 'key'}"}},
        "audit": [msgspec.to_builtins(device) for device in devices],
    }


def test_it_is_set_up_once_and_its_administrator_is_not_root(address: str, plan: Plan, tmp_path: Path) -> None:
    api, keys, local, password, said = VaultApi(address, None), Memory(), Memory(), Memory(), list[str]()

    def run() -> None:
        bootstrap(
            api,
            plan,
            keys=keys,
            local=local,
            attempt=Attempted(),
            password=password,
            report=said.append,
            wait_seconds=30,
        )

    run()
    assert (len(keys.value.recovery_keys), keys.value.completed, keys.value.root_token) == (5, True, "")
    root = next(held.root_token for held in keys.everything if held.root_token)
    assert api.get("auth/token/lookup-self", root).status == 403

    login = api.put("auth/userpass/login/administrator", {"password": password.value}).body["auth"]
    assert sorted(login["policies"]) == ["administrator", "default"]
    assert api.get("sys/audit", login["client_token"]).status == 403
    assert api.get("sys/policies/acl/administrator", login["client_token"]).ok

    entries = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    revoked = [entry for entry in entries if entry["request"]["path"] == "auth/token/revoke-self"]
    assert [entry["type"] for entry in revoked] == ["request", "response"]
    assert not any(secret in (tmp_path / "audit.log").read_text() for secret in (root, password.value))

    before = len(said)
    run()
    assert said[before:] == ["the cluster is set up: nothing to do"]
