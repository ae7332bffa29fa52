"""An archive on a local S3, and what somebody who may do everything can do to it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard

from testbed.memory_s3 import MemoryS3
from vaultwatch.archive.seen import note_seen
from vaultwatch.archive.upload import Uploads
from vaultwatch.archive.waiting import LOGS

NODE = "log-server"
MORNING = datetime(2026, 11, 28, 9, tzinfo=UTC)
compress = zstandard.ZstdCompressor(write_checksum=True).compress


@cache
def _uploaded() -> dict[str, tuple[bytes, dict[str, str]]]:
    """Return the keys, contents and metadata of three rotated files, as `archive upload` stores them."""
    s3: Any = MemoryS3()
    with TemporaryDirectory() as folder:
        for number in (1, 2, 3):
            file = Path(folder, f"audit-20261128-10000{number}.zst")
            line = b'{"time":"2026-11-28T09:00:00Z","number":%d}\n' % number
            file.write_bytes(compress(line * number))
            os.utime(file, (MORNING.timestamp() + 60, MORNING.timestamp() + 60))
        list(Uploads(lambda: s3, "archive", NODE).run(Path(folder), LOGS))
    stored: dict[str, tuple[bytes, dict[str, str]]] = s3.objects
    return stored


class Archive:
    """Three uploaded segments that `sweep` has seen, and somebody who may do everything, such as to bypass the lock.

    Attributes:
        s3: The client.
        bucket: The bucket.
        place: The same, as `vaultwatch archive` takes it.
        keys: The keys of the segments.
        digests: Their digests.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3, self.bucket = s3, bucket
        self.place = f"s3://{bucket}"
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        self.keys, self.digests = list[str](), list[str]()
        for key, (body, metadata) in _uploaded().items():
            self.put(key, body, metadata)
            note_seen(s3, bucket, key, metadata["sha256"])
            self.keys.append(key)
            self.digests.append(metadata["sha256"])

    def metadata(self, body: bytes, lines: int) -> dict[str, str]:
        """Return the metadata of a segment that follows the last one."""
        return {"lines": str(lines), "sha256": sha256(body).hexdigest(), "previous-sha256": self.digests[-1]}

    def said(self, key: str) -> dict[str, str]:
        """Return the metadata of an object."""
        found: dict[str, str] = self.s3.head_object(Bucket=self.bucket, Key=key)["Metadata"]
        return found

    def body(self, key: str) -> bytes:
        """Return an object."""
        data: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def put(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        """Store an object; under a key that exists, a new version."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata or {}, ChecksumAlgorithm="SHA256")

    def hide(self, key: str) -> None:
        """Put a delete marker over an object."""
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def destroy(self, prefix: str) -> None:
        """Remove all versions, as S3 does after the lock has ended, or for who can bypass it."""
        found = self.s3.list_object_versions(Bucket=self.bucket, Prefix=prefix)
        for it in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
            self.s3.delete_object(Bucket=self.bucket, Key=it["Key"], VersionId=it["VersionId"])

    def rewrite(self, key: str, body: bytes, metadata: dict[str, str]) -> None:
        """Replace an object, so that no version of the old one is left."""
        self.destroy(key)
        self.put(key, body, metadata)

    def copy(self, folder: Path, *prefixes: str) -> Path:
        """Copy the segments, and what else is below some prefixes, as `aws s3 sync` does."""
        listed = [self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)["Contents"] for prefix in prefixes]
        for key in [*self.keys, *(it["Key"] for page in listed for it in page)]:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(self.body(key))
        return folder
