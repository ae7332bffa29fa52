"""What every run that stores segments does: numbers, the call of S3, and what it says when something fails.

A number is written to the disk before its segment is uploaded, and settled when S3 has confirmed the checksum.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaultwatch.archive import upload_state
from vaultwatch.archive.upload_state import Numbers, Reservation
from vaultwatch.archive.waiting import Log, Segment, waiting
from vaultwatch.aws import keys
from vaultwatch.aws.clients import Failure, classify
from vaultwatch.errors import ArchiveError
from vaultwatch.rotated_files import mark_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOGGER = logging.getLogger("vaultwatch.archive")
_LATE_SECONDS = 7200.0
_REFUSES_OBJECT = frozenset({"BadDigest", "EntityTooLarge", "InvalidArgument", "InvalidRequest", "MetadataTooLarge"})
"""What S3 answers about one object. Every other failure concerns the objects after it as well."""
_EXISTS = "PreconditionFailed"


class Refused(ArchiveError):
    """S3 refuses this segment; it may accept others."""


@dataclass
class Storing(ABC):
    """Stores what waits in a folder.

    Attributes:
        s3: Returns the client; it must not retry, because the answer to a repeat means something else.
        bucket: The archive bucket.
        node: The name of this host.
        settle_seconds: How long a rotated file has to be unchanged.
        failed: Whether something could not be uploaded, or has been waiting for more than two hours.
    """

    s3: Callable[[], S3Client]
    bucket: str
    node: str
    settle_seconds: float = 60.0
    failed: bool = False

    def run(self, folder: Path, logs: Sequence[Log]) -> Iterator[str]:
        """Upload what waits of some logs in a folder, and yield the keys.

        A failed log does not stop the others.
        """
        for log in logs:
            try:
                with _locked(folder):
                    yield from self.upload_log(log, folder)
                for file in waiting(log, folder):
                    self._check_late(file)
            except ArchiveError as error:
                self.fail(f"{folder / log.name}: {error}")
            except OSError as error:
                self.fail(f"{error.filename or folder / log.name}: {error.strerror}")

    @abstractmethod
    def upload_log(self, log: Log, folder: Path) -> Iterator[str]:
        """Upload what waits of one log, and yield the keys."""

    def fail(self, text: str) -> None:
        """Report that something could not be uploaded."""
        self.failed = True
        LOGGER.error("%s", text)

    def _check_late(self, file: Path) -> None:
        """Report a file that has been waiting for too long since it was renamed or compressed."""
        if time.time() - file.stat().st_ctime > _LATE_SECONDS:
            self.fail(f"{file}: it has been waiting for its upload for more than two hours")

    def reserve(
        self, log: Log, numbers: Numbers, path: Path, segment: Segment, name: str, span: tuple[int, int] = (0, 0)
    ) -> Reservation:
        """Give a segment the next number, on the disk before this returns.

        Args:
            log: The log.
            numbers: Its numbers.
            path: Their file.
            segment: The segment.
            name: What it is of.
            span: Which part of it, from where to where in bytes.
        """
        random = secrets.token_hex(8)
        key = keys.segment(log.source, self.node, numbers.last + 1, segment.contents.first, random)
        reservation = numbers.reserve(name, key, segment.contents.sha256, *span)
        upload_state.save(path, numbers)
        return reservation

    def put(self, reservation: Reservation, segment: Segment) -> str:
        """Upload a segment.

        Nobody else knows its key. So if S3 has it, an attempt before was successful.

        Returns:
            The digest of what S3 has under the key.
        """
        checksum = base64.b64encode(bytes.fromhex(segment.contents.sha256)).decode()
        try:
            answer = self.s3().put_object(
                Bucket=self.bucket,
                Key=reservation.key,
                Body=segment.file,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                Metadata=_metadata(reservation, segment),
            )
            return base64.b64decode(answer["ChecksumSHA256"]).hex()
        except Exception as error:
            failure = classify(error)
            if failure.name == _EXISTS:
                return reservation.sha256
            raise _failure(failure) from error


def _failure(failure: Failure) -> ArchiveError:
    return (Refused if failure.name in _REFUSES_OBJECT else ArchiveError)(failure.text)


def _metadata(reservation: Reservation, segment: Segment) -> dict[str, str]:
    contents = segment.contents
    return {
        "lines": str(contents.lines),
        "bytes": str(contents.plain_bytes),
        "sha256": contents.sha256,
        "previous-sha256": reservation.previous,
    }


def mark(file: Path) -> None:
    """Mark a rotated file: S3 has all of it, and it can be removed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(mark_of(file), flags, 0o600))
    upload_state.sync_folder(file.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder while the context lasts.

    Raises:
        ArchiveError: Another run uploads its files.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError("another run is uploading") from None
