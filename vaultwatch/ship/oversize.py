"""Store lines that are too large for a Kinesis record elsewhere; a frame refers to them."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import time
from datetime import datetime
from pathlib import Path
from typing import cast

from vaultwatch.aws import keys
from vaultwatch.aws.clients import classify
from vaultwatch.frames import Reference, count_lines
from vaultwatch.problem_log import ProblemLog
from vaultwatch.ship.options import Pace
from vaultwatch.ship.reading import Block
from vaultwatch.ship.retries import Retries, make_clients

MAX_SPILL_BYTES = 256 * 1024 * 1024
"""The most that the directory may hold that replaces a bucket: /run is in memory."""


class BucketStore:
    """Stores lines in S3. The key consists of their day and SHA-256, so that a retry writes the same object."""

    def __init__(self, bucket: str, pace: Pace) -> None:
        self._bucket = bucket
        self._clients = make_clients(pace)
        self._retries = Retries(pace, self._clients)

    def keep(self, lines: Block, at: datetime) -> Reference:
        """Store the lines, with retries without a limit; the input is not read meanwhile, which keeps the order."""
        digest = hashlib.sha256(lines)
        key = keys.oversize(at, digest.hexdigest())
        while not self._put(key, lines, digest.digest()):
            self._retries.wait()
        return Reference(self._bucket, key, len(lines), count_lines(lines), digest.hexdigest())

    def _put(self, key: str, lines: Block, sha256: bytes) -> bool:
        checksum = base64.b64encode(sha256).decode()
        body = cast("bytes", lines)  # boto3 takes a bytearray, which spares a copy of up to 100 MiB
        try:
            self._clients.s3().put_object(Bucket=self._bucket, Key=key, Body=body, ChecksumSHA256=checksum)
        except Exception as error:  # noqa: BLE001 (no line may be lost: any failure is retried)
            text = f"{len(lines)} bytes too large for a record wait to be stored; reading is paused"
            self._retries.failed(classify(error), text)
            return False
        self._retries.succeeded("S3 accepts lines too large for a record again")
        return True

    def close(self) -> None:
        """Close the connections."""
        self._clients.renew()


class FolderStore:
    """Stores lines in files if there is no bucket; when the directory is full, reading stops until there is room."""

    def __init__(self, folder: Path, pace: Pace, max_bytes: int = MAX_SPILL_BYTES) -> None:
        self._folder = folder
        self._pace = pace
        self._max_bytes = max_bytes
        self._reported = ProblemLog(pace.report_seconds)

    def keep(self, lines: Block, at: datetime) -> Reference:  # noqa: ARG002 (a file's name needs no day)
        """Store the lines, with retries without a limit."""
        sha256 = hashlib.sha256(lines).hexdigest()
        while reason := self._write(sha256, lines):
            self._reported.report("full", logging.ERROR, f"{reason}: reading is paused until this is fixed")
            time.sleep(self._pace.settings_retry_seconds)
        text = f"{len(lines)} bytes too large for a record are in {self._folder / sha256}: set --oversize-bucket"
        self._reported.report("bucket", logging.ERROR, text)
        return Reference("", sha256, len(lines), count_lines(lines), sha256)

    def _write(self, name: str, lines: Block) -> str:
        """Write a complete file; return "", or the reason why it could not be written."""
        target, part = self._folder / name, self._folder / f"{name}.part"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if target.exists():
                return ""
            if sum(file.stat().st_size for file in self._folder.iterdir()) + len(lines) > self._max_bytes:
                return f"{self._folder} would exceed {self._max_bytes} bytes"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        return ""

    def close(self) -> None:
        """Do nothing: no file stays open."""
