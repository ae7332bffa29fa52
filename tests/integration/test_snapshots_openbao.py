"""The restore drill of docs/restore.md: a cluster is lost, and another one gets its last snapshot, with a real OpenBao.

The telemetry from which alarms are made is read from the same server.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from testbed.certificates import Authority
from testbed.host_values import ASSETS, OPENBAO_NODE
from testbed.processes import end, start
from testbed.vault_node import NodeConfiguration
from tests.support.waiting import eventually
from tests.unit.hosts.test_bootstrap import Attempted, Memory
from vaultwatch.canary import CANARY, canaries, mark_of
from vaultwatch.errors import BootstrapError, InstallError, SnapshotError
from vaultwatch.hosts.bootstrap import VaultApi, bootstrap
from vaultwatch.hosts.canary import send_canary
from vaultwatch.hosts.cluster import plan_of
from vaultwatch.hosts.install.local_vault import LocalVault
from vaultwatch.hosts.snapshots import snapshots_of

pytestmark = pytest.mark.skipif(not shutil.which("bao"), reason="no bao")
EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
TELEMETRY = (
    "vault_audit_log_request_count",
    "vault_audit_log_request_failure",
    "vault_audit_log_request_sum",
    "vault_audit_log_response_count",
    "vault_audit_log_response_failure",
    "vault_audit_log_response_sum",
    "vault_core_active",
    "vault_expire_num_leases",
)


class Stored:
    """S3 and CloudWatch, as far as snapshots use them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.metrics: list[str] = []

    def put_object(self, **given: Any) -> None:
        self.objects[given["Key"]] = given["Body"].read()

    def put_metric_data(self, **given: Any) -> None:
        self.metrics += [one["MetricName"] for one in given["MetricData"]]


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def serve(tmp_path: Path, authority: Authority) -> Iterator[Any]:
    """Start a new cluster in a folder of its own; all have the same seal."""
    with ExitStack() as stack:
        syslog = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tls = tmp_path / "tls"
        authority.install(tls, authority.issue("vault-1", ["localhost"]))

        # The same devices: OpenBao seals itself after a restore if its configuration declares others.
        audit, port = tmp_path / "audit", syslog.getsockname()[1]
        audit.mkdir()

        def start_one(name: str) -> NodeConfiguration:
            made = NodeConfiguration(tmp_path / name, tls=tls, audit=audit, audit_port=port, key=tmp_path / "key")
            stack.enter_context(running(made))
            return made

        yield start_one


@contextmanager
def running(node: NodeConfiguration) -> Iterator[None]:
    configuration = node.write()
    with (node.folder / "log").open("wb") as log:
        environment = {"PATH": os.environ["PATH"], "HOME": str(node.folder)}
        process = start(["bao", "server", f"-config={configuration}"], log.fileno(), environment, node.folder)
        try:
            yield
        finally:
            end(process)


def api_of(node: NodeConfiguration) -> VaultApi:
    return VaultApi(f"https://localhost:{node.port}", node.tls / "authority.pem")


def administrator(node: NodeConfiguration) -> str:
    """Set up the cluster as a node does, and log in as an administrator who may do everything."""
    plan = plan_of(OPENBAO_NODE, ASSETS, node.tls / "authority.pem")
    file, socket_device = plan.devices
    devices = (
        replace(file, options=file.options | {"file_path": f"{node.audit}/audit.log"}),
        replace(socket_device, options=socket_device.options | {"address": f"127.0.0.1:{node.audit_port}"}),
    )
    plan, password = replace(plan, policy=EVERYTHING, devices=devices), Memory()
    bootstrap(
        api_of(node),
        plan,
        keys=Memory(),
        local=Memory(),
        attempt=Attempted(),
        password=password,
        report=lambda _: None,
        wait_seconds=60,
    )
    login = api_of(node).put("auth/userpass/login/administrator", {"password": password.value})
    return str(login.body["auth"]["client_token"])


def bao(node: NodeConfiguration, *command: str, token: str = "") -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(node.folder),
        "BAO_ADDR": f"https://localhost:{node.port}",
        "BAO_CACERT": str(node.tls / "authority.pem"),
        "BAO_TOKEN": token,
    }
    return subprocess.run(["bao", *command], env=environment, capture_output=True, text=True, check=True).stdout


def test_a_lost_cluster_is_restored_from_the_snapshot_that_its_node_took(
    serve: Any, authority: Authority, tmp_path: Path
) -> None:
    lost, stored = serve("lost"), Stored()
    token, api, address = administrator(lost), api_of(lost), f"https://localhost:{lost.port}"
    assert api.put("sys/mounts/secret", {"type": "kv"}, token).ok
    assert api.put("secret/app", {"password": "known only to this cluster"}, token).ok

    said = snapshots_of(OPENBAO_NODE, lost.tls, stored, stored, address).run(datetime(2026, 11, 28, 6, tzinfo=UTC))
    [key] = stored.objects
    assert (said, key) == (f"snapshot: {key}", "snapshots/node=vault-1/20261128T060000Z.snap")
    assert stored.metrics == ["VaultSnapshots"]
    assert b"known only" not in stored.objects[key]

    # The token can do nothing else, and no other certificate gets one.
    node = VaultApi(address, lost.tls / "authority.pem", identity=lost.tls)
    only = node.put("auth/cert/login", {"name": "snapshot"}).body["auth"]
    assert (only["policies"], only["renewable"], only["lease_duration"]) == (["snapshot"], False, 600)
    assert node.get("secret/app", only["client_token"]).status == 403
    assert node.get("auth/token/lookup-self", only["client_token"]).status == 403
    other = tmp_path / "other"
    authority.install(other, authority.issue("log-server", ["log-server"]))
    with pytest.raises(SnapshotError, match=r"^Vault refuses the login with the host's certificate: 400"):
        snapshots_of(OPENBAO_NODE, other, stored, stored, address).run(datetime.now(UTC))
    with pytest.raises(BootstrapError, match="403: permission denied"):
        list(api.stream("sys/storage/raft/snapshot", "of nobody"))

    # So it is with the canary, each call of which is in the audit log.
    before = canaries_in(lost)
    send_canary(node)
    assert canaries_in(lost) == before + 3  # the answer to the login, the call, and its answer
    only = node.put("auth/cert/login", {"name": CANARY}).body["auth"]
    assert (only["policies"], only["token_type"], only["lease_duration"]) == ([CANARY], "batch", 600)
    assert [node.get(path, only["client_token"]).status for path in ("secret/app", "sys/mounts")] == [403, 403]
    assert node.put("auth/token/create", {}, only["client_token"]).status == 403
    with pytest.raises(InstallError, match=r"^Vault refuses the login with the host's certificate: 400"):
        send_canary(VaultApi(address, lost.tls / "authority.pem", identity=other))

    vault = LocalVault("localhost", lost.tls / "authority.pem", port=lost.port, telemetry_port=lost.telemetry_port)
    pattern = rf"^({'|'.join(TELEMETRY)})(?:\{{.*\}})? \d"
    eventually(lambda: set(re.findall(pattern, vault.telemetry(), re.MULTILINE)) == set(TELEMETRY))
    assert (vault.status("/v1/sys/health"), vault.status("/v1/sys/metrics")) == (200, 403)

    # docs/restore.md, 3
    new, file = serve("new"), tmp_path / "last.snap"
    file.write_bytes(stored.objects[key])
    eventually(lambda: answers(new))
    made = bao(new, "operator", "init", "-recovery-shares=1", "-recovery-threshold=1")
    (temporary,) = re.findall(r"^Initial Root Token: (\S+)", made, re.MULTILINE)
    eventually(lambda: api_of(new).get("sys/health").status == 200)
    bao(new, "operator", "raft", "snapshot", "restore", "-force", str(file), token=temporary)
    eventually(lambda: api_of(new).get("secret/app", token).body.get("data", {}).get("password"))
    assert api_of(new).get("secret/app", token).body["data"]["password"] == "known only to this cluster"
    assert api_of(new).get("auth/token/lookup-self", temporary).status == 403


def canaries_in(node: NodeConfiguration) -> int:
    return canaries((node.audit / "audit.log").read_bytes().splitlines(), mark_of())


def answers(node: NodeConfiguration) -> bool:
    try:
        return api_of(node).get("sys/init").ok
    except BootstrapError:
        return False
