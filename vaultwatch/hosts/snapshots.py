"""Raft snapshots: the active node takes one, checks it, and stores it in a bucket where it can read or delete nothing.

The node logs in with the certificate of its host. The token that it gets can take snapshots and do nothing else, and is
valid for some minutes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from vaultwatch.aws import keys, metrics
from vaultwatch.aws.clients import classify
from vaultwatch.errors import SnapshotError
from vaultwatch.hosts.bootstrap import SNAPSHOT, VaultApi
from vaultwatch.hosts.install.figures import Figure, put_figures
from vaultwatch.hosts.logins import log_in, node_api

_STANDBY = (429, 472, 473)
_LARGEST_BYTES = 5 * 1024**3  # of one PutObject (S3 API reference)
_CHUNK_BYTES = 1024 * 1024
_LISTED = ("meta.json", "state.bin")
_LINE = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Snapshots:
    """Takes the snapshots of a cluster.

    Attributes:
        api: This node, with the certificate of its host.
        s3: boto3's client of S3.
        cloudwatch: boto3's client of CloudWatch.
        values: The values of host.json of a node.
    """

    api: VaultApi
    s3: Any
    cloudwatch: Any
    values: Mapping[str, str]

    def run(self, now: datetime) -> str:
        """Take a snapshot if this is the active node, and return a sentence that says what was done.

        Args:
            now: The time, which becomes part of its key.

        Raises:
            BootstrapError: Vault does not answer.
            SnapshotError: Vault refuses, the snapshot is damaged, or S3 did not take it.
        """
        status = self.api.get("sys/health").status
        if status in _STANDBY:
            return "no snapshot: another node is active"
        if status != 200:
            raise SnapshotError(f"no snapshot: Vault answers with status {status}")
        key = keys.snapshot(self.values["name"], now)
        with TemporaryFile() as file:
            sha256 = self._take(file)
            check_snapshot(file)
            self._store(key, file, sha256)
        put_figures(self.cloudwatch, self.values, [Figure(metrics.VAULT_SNAPSHOTS, 1.0, of_cluster=True)])
        return f"snapshot: {key}"

    def _take(self, into: IO[bytes]) -> bytes:
        token = log_in(self.api, SNAPSHOT, SnapshotError)
        found, size = hashlib.sha256(), 0
        for part in self.api.stream("sys/storage/raft/snapshot", token):
            into.write(part)
            found.update(part)
            size += len(part)
            if size > _LARGEST_BYTES:
                raise SnapshotError(f"the snapshot has more than {_LARGEST_BYTES} bytes, which S3 takes at once")
        return found.digest()

    def _store(self, key: str, file: IO[bytes], sha256: bytes) -> None:
        file.seek(0)
        try:
            self.s3.put_object(
                Bucket=self.values["snapshot_bucket"],
                Key=key,
                Body=file,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(sha256).decode(),
            )
        except Exception as error:  # noqa: BLE001  whatever boto3 raises, a person has to see
            raise SnapshotError(classify(error).text) from None


def snapshots_of(values: Mapping[str, str], tls: Path, s3: Any, cloudwatch: Any, address: str = "") -> Snapshots:
    """Return what takes the snapshots of a node's cluster.

    Args:
        values: The values of host.json of a node.
        tls: The folder of its certificate.
        s3: boto3's client of S3.
        cloudwatch: boto3's client of CloudWatch.
        address: The API of this node; its own name by default.
    """
    return Snapshots(node_api(values, tls, address), s3, cloudwatch, values)


def check_snapshot(file: IO[bytes]) -> None:
    """Check a snapshot against the digests in it: one that was cut off is no backup.

    Args:
        file: The snapshot, as Vault returns it: a compressed tar file.

    Raises:
        SnapshotError: It is damaged or incomplete.
    """
    file.seek(0)
    try:
        with gzip.open(file) as content:
            with tarfile.open(fileobj=content, mode="r|") as archive:
                found = {member.name: _digest_or_text(archive, member) for member in archive}
            while content.read(_CHUNK_BYTES):  # to the end, where gzip has a checksum
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise SnapshotError(f"the snapshot is damaged: {type(error).__name__}") from None
    listed = {name: digest for digest, name in _LINE.findall(found.get("SHA256SUMS", ""))}
    wrong = [name for name in _LISTED if name not in found or listed.get(name) != found[name]]
    if wrong:
        raise SnapshotError(f"the snapshot is damaged: {wrong[0]} is not what its digest says")


def _digest_or_text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the list of digests as text, and the SHA-256 of every other member."""
    source = archive.extractfile(member)
    if source is None:
        return ""
    if member.name == "SHA256SUMS":
        return source.read(_CHUNK_BYTES).decode(errors="replace")
    found = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        found.update(chunk)
    return found.hexdigest()
