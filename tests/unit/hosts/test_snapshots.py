"""Snapshots of Vault's storage: only the active node takes one, and what reaches S3 is whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from testbed.host_values import NODE
from vaultwatch.errors import SnapshotError
from vaultwatch.hosts.bootstrap.api import Answer
from vaultwatch.hosts.snapshots import Snapshots, check_snapshot

NOW = datetime(2026, 11, 28, 6, 17, 4, tzinfo=UTC)


def snapshot(state: bytes = b"state" * 10_000, **wrong: str) -> bytes:
    """Return a snapshot as Vault writes it; `wrong` replaces digests in its list."""
    members = {"meta.json": b"{}", "state.bin": state}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    digests |= {name.replace("_", "."): digest for name, digest in wrong.items()}
    members["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@dataclass
class Node:
    """A node, S3 and CloudWatch."""

    content: bytes = field(default_factory=snapshot)
    status: int = 200
    login: Answer = field(default_factory=lambda: Answer(200, {"auth": {"client_token": "hvb.token"}}))
    stored: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    s3_error: Exception | None = None

    def get(self, path: str) -> Answer:
        assert path == "sys/health"
        return Answer(self.status, {})

    def put(self, path: str, body: dict[str, Any]) -> Answer:
        assert (path, body) == ("auth/cert/login", {"name": "snapshot"})
        return self.login

    def stream(self, path: str, token: str) -> Iterator[bytes]:
        assert (path, token) == ("sys/storage/raft/snapshot", "hvb.token")
        yield from (self.content[at : at + 1000] for at in range(0, len(self.content), 1000))

    def put_object(self, **given: Any) -> None:
        if self.s3_error:
            raise self.s3_error
        self.stored.append(given | {"Body": given["Body"].read()})

    def put_metric_data(self, **given: Any) -> None:
        self.metrics += given["MetricData"]

    def run(self) -> str:
        api: Any = self
        return Snapshots(api, self, self, NODE).run(NOW)


def test_the_active_node_stores_a_snapshot_once_and_reports_it_for_the_cluster() -> None:
    node = Node()
    assert node.run() == "snapshot: snapshots/node=vault-1/20261128T061704Z.snap"
    [stored] = node.stored
    assert (stored["Bucket"], stored["Body"], stored["IfNoneMatch"]) == ("vaultwatch-snapshots", node.content, "*")
    assert stored["ChecksumSHA256"]  # Object Lock requires a checksum
    [metric] = node.metrics
    assert (metric["MetricName"], metric["Value"]) == ("VaultSnapshots", 1.0)
    assert metric["Dimensions"] == [{"Name": "deployment", "Value": "vaultwatch"}]


@pytest.mark.parametrize("status", [429, 472, 473])
def test_another_node_leaves_it_to_the_active_one(status: int) -> None:
    node = Node(status=status)
    assert node.run() == "no snapshot: another node is active"
    assert (node.stored, node.metrics) == ([], [])


@pytest.mark.parametrize("status", [500, 501, 503])
def test_without_an_active_node_it_fails(status: int) -> None:
    with pytest.raises(SnapshotError, match=f"^no snapshot: Vault answers with status {status}$"):
        Node(status=status).run()


def test_a_refused_login_says_why() -> None:
    node = Node(login=Answer(400, {"errors": ["invalid certificate"]}))
    with pytest.raises(SnapshotError, match=r"certificate: 400 invalid certificate$"):
        node.run()


def test_what_s3_refuses_is_not_reported_as_stored() -> None:
    node = Node(s3_error=TimeoutError("a secret"))
    with pytest.raises(SnapshotError, match=r"^TimeoutError$"):
        node.run()
    assert node.metrics == []


WHOLE = snapshot()


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>a proxy's page</html>", id="no archive"),
        pytest.param(WHOLE[: len(WHOLE) // 2], id="cut off"),
        pytest.param(WHOLE[:-9], id="without its end"),
        pytest.param(gzip.compress(b""), id="empty archive"),
        pytest.param(snapshot(state_bin="0" * 64), id="another digest"),
        pytest.param(snapshot(meta_json=""), id="no digest"),
    ],
)
def test_a_damaged_snapshot_is_never_stored(damaged: bytes) -> None:
    node = Node(content=damaged)
    with pytest.raises(SnapshotError, match=r"^the snapshot is damaged: "):
        node.run()
    assert (node.stored, node.metrics) == ([], [])


def test_a_whole_one_is_accepted() -> None:
    check_snapshot(io.BytesIO(WHOLE))
