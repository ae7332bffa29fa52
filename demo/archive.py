"""Uploads log files to the local S3 as segments, and reads them again from there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import zstandard

from vaultwatch.archive.segments import unpack
from vaultwatch.aws import keys

_TIME = re.compile(rb'"time": *"[^"]+"')


class Archive:
    """The archive bucket.

    Args:
        s3: boto3's client.
        bucket: The name of the bucket.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._numbers: dict[str, int] = {}

    def upload(self, source: str, node: str, lines: Sequence[bytes], now: datetime) -> str:
        """Upload lines as the next segment of a source ("audit", "audit-file", "server"), and return its key."""
        number = self._numbers[source] = self._numbers.get(source, 0) + 1
        key = keys.segment(source, node, number, now)
        body = zstandard.compress(b"".join(line + b"\n" for line in lines))
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        return key

    def read(self, key: str) -> list[bytes]:
        """Return the lines of a segment."""
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
        with closing(body):
            return b"".join(unpack(body.iter_chunks(1 << 20))).split(b"\n")[:-1]


def as_if_now(lines: Sequence[bytes], now: datetime) -> list[bytes]:
    """Change the times of audit entries to just before `now`: nobody is notified of alerts older than their rule.

    Args:
        lines: The entries.
        now: The time to which the latest is moved.

    Returns:
        The same entries with other times.
    """
    moments = [datetime.fromisoformat(msgspec.json.decode(line)["time"]) for line in lines]
    moved = now - timedelta(seconds=1) - max(moments)
    return [_TIME.sub(_written(moment + moved), line, count=1) for moment, line in zip(moments, lines, strict=True)]


def _written(moment: datetime) -> bytes:
    return f'"time":"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"'.encode()
