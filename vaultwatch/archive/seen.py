"""Note which segments the function `sweep` has seen, where no host can write.

A note is an object in the archive bucket, under its Object Lock. Its key has everything: the place of the segment, the
time in its key, and the digest of what was read. Who alters a segment, removes it or writes a whole new chain cannot
alter the notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vaultwatch.aws import keys
from vaultwatch.aws.clients import classify

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NOTED = "PreconditionFailed"


def note_seen(s3: S3Client, bucket: str, key: str, sha256: str) -> None:
    """Note that a segment with this digest is under this key; doing it again changes nothing.

    Args:
        s3: The client.
        bucket: The archive bucket.
        key: The key of the segment. Under a key that is not in the archive's form, nothing is noted.
        sha256: The digest of what was read.

    Raises:
        ClientError: S3 did not store the note.
    """
    note = keys.seen(key, sha256)
    if note is None:
        return
    body = msgspec.json.encode({"key": key, "sha256": sha256})
    try:
        s3.put_object(Bucket=bucket, Key=note, Body=body, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
    except Exception as error:
        if classify(error).name != _NOTED:
            raise
