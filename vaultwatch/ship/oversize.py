"""Lines too large for a record: kept whole elsewhere, and referred to."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import time
from datetime import datetime
from pathlib import Path
from typing import cast

from vaultwatch.aws import keys as prefixes
from vaultwatch.frames import Reference, count_lines
from vaultwatch.handler.stdin import Complaints
from vaultwatch.ship.aws import Clients, Patience, trouble
from vaultwatch.ship.options import Pace
from vaultwatch.ship.reading import Block

MAX_SPILL_BYTES = 256 * 1024 * 1024
"""What the folder of lines without a bucket may hold: /run lies in memory."""


class BucketStore:
    """Keeps them in S3, under a name made of their day and SHA-256, so that a repeat changes nothing."""

    def __init__(self, bucket: str, pace: Pace) -> None:
        self._bucket = bucket
        self._clients = Clients(pace)
        self._patience = Patience(pace, self._clients)

    def keep(self, lines: Block, at: datetime) -> Reference:
        """Keep lines, trying without end: nothing is read meanwhile, so nothing behind them is lost or early."""
        digest = hashlib.sha256(lines)
        key = f"{prefixes.OVERSIZE}dt={at:%Y-%m-%d}/{digest.hexdigest()}"
        while not self._put(key, lines, digest.digest()):
            self._patience.wait()
        return Reference(self._bucket, key, len(lines), count_lines(lines), digest.hexdigest())

    def _put(self, key: str, lines: Block, sha256: bytes) -> bool:
        checksum = base64.b64encode(sha256).decode()
        body = cast("bytes", lines)  # boto3 takes a bytearray, which spares a copy of up to 100 MiB
        try:
            self._clients.s3().put_object(Bucket=self._bucket, Key=key, Body=body, ChecksumSHA256=checksum)
        except Exception as error:  # noqa: BLE001 (whatever it is, the line must not be lost: it is tried again)
            self._patience.failed(trouble(error), f"{len(lines)} bytes too large for a record wait; nothing is read")
            return False
        self._patience.succeeded("S3 takes lines too large for a record again")
        return True

    def close(self) -> None:
        """Close the connections."""
        self._clients.renew()


class FolderStore:
    """Keeps them in files when there is no bucket; a full folder stops the reading until somebody empties it."""

    def __init__(self, folder: Path, pace: Pace, max_bytes: int = MAX_SPILL_BYTES) -> None:
        self._folder = folder
        self._pace = pace
        self._max_bytes = max_bytes
        self._complaints = Complaints(pace.complaint_seconds)

    def keep(self, lines: Block, at: datetime) -> Reference:  # noqa: ARG002 (a file's name needs no day)
        """Keep lines, trying without end."""
        sha256 = hashlib.sha256(lines).hexdigest()
        while reason := self._write(sha256, lines):
            self._complaints.complain("full", logging.ERROR, f"{reason}: nothing is read until it can be written")
            time.sleep(self._pace.settings_retry_seconds)
        text = f"{len(lines)} bytes too large for a record lie in {self._folder / sha256}: set --oversize-bucket"
        self._complaints.complain("bucket", logging.ERROR, text)
        return Reference("", sha256, len(lines), count_lines(lines), sha256)

    def _write(self, name: str, lines: Block) -> str:
        """Write a file, whole or not at all; give the reason when it cannot be."""
        target, begun = self._folder / name, self._folder / f"{name}.part"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if target.exists():
                return ""
            if sum(file.stat().st_size for file in self._folder.iterdir()) + len(lines) > self._max_bytes:
                return f"{self._folder} would hold more than {self._max_bytes} bytes"
            with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            begun.replace(target)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        return ""

    def close(self) -> None:
        """Nothing is open."""
