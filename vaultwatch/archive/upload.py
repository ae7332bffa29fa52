"""Upload rotated files to the archive: each as one segment, the oldest first, with contiguous numbers.

Its number is written to the disk, S3 confirms the segment, the mark is written to the disk, and the number is settled.
In this order nothing is lost and nothing is stored twice, whatever ends the process between two steps. Only a file with
a mark can be removed.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaultwatch.archive import upload_state
from vaultwatch.archive.upload_state import Numbers, Reservation
from vaultwatch.archive.waiting import LOGS, Log, NotReady, Segment, segment_of, waiting
from vaultwatch.aws import keys
from vaultwatch.aws.clients import Failure, classify
from vaultwatch.errors import ArchiveError
from vaultwatch.rotated_files import mark_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LOGGER = logging.getLogger(__name__)
_LATE_SECONDS = 7200.0
_REFUSES_OBJECT = frozenset({"BadDigest", "EntityTooLarge", "InvalidArgument", "InvalidRequest", "MetadataTooLarge"})
"""What S3 answers about one object. Every other failure concerns the objects after it as well."""
_EXISTS = "PreconditionFailed"


class _Refused(ArchiveError):
    """S3 refuses this file; it may accept others."""


@dataclass
class Uploads:
    """Uploads what waits in a folder.

    Attributes:
        s3: Returns the client; it must not retry, because the answer to a repeat means something else.
        bucket: The archive bucket.
        node: The name of this host.
        settle_seconds: How long a file has to be unchanged.
        failed: Whether a file could not be uploaded, or has been waiting for more than two hours.
    """

    s3: Callable[[], S3Client]
    bucket: str
    node: str
    settle_seconds: float = 60.0
    failed: bool = False

    def run(self, folder: Path, logs: Sequence[Log] = LOGS) -> Iterator[str]:
        """Upload the rotated files of some logs in a folder, and yield their keys.

        A failed log does not stop the others.
        """
        for log in logs:
            try:
                with _locked(folder):
                    yield from self._upload_log(log, folder)
                for file in waiting(log, folder):
                    self._check_late(file)
            except ArchiveError as error:
                self._fail(f"{folder / log.name}: {error}")
            except OSError as error:
                self._fail(f"{error.filename or folder / log.name}: {error.strerror}")

    def _fail(self, text: str) -> None:
        self.failed = True
        _LOGGER.error("%s", text)

    def _check_late(self, file: Path) -> None:
        """Report a file that has been waiting for too long since it was renamed or compressed."""
        if time.time() - file.stat().st_ctime > _LATE_SECONDS:
            self._fail(f"{file}: it has been waiting for its upload for more than two hours")

    def _upload_log(self, log: Log, folder: Path) -> Iterator[str]:
        path = log.numbers(folder)
        numbers = upload_state.load(path)
        _settle_marked(numbers, path)
        for file in waiting(log, folder):
            try:
                with segment_of(log, file, self.settle_seconds) as segment:
                    reservation = self._upload(log, file, numbers, segment)
            except NotReady as error:
                _LOGGER.info("%s: not uploaded yet: %s", file, error)
            except _Refused as error:
                self._fail(f"{file}: {error}")
            else:
                yield reservation.key

    def _upload(self, log: Log, file: Path, numbers: Numbers, segment: Segment) -> Reservation:
        path, sha256 = log.numbers(file.parent), segment.contents.sha256
        reservation = numbers.reserved.get(file.name)
        repeated = reservation is not None
        if reservation is None:
            key = keys.segment(log.source, self.node, numbers.last + 1, segment.contents.first)
            reservation = numbers.reserve(file.name, key, sha256)
            upload_state.save(path, numbers)
        found = self._put(reservation, segment, repeated=repeated)
        if found == sha256:
            _mark(file)
        numbers.settle(file.name, found or reservation.sha256)
        upload_state.save(path, numbers)
        if found != sha256:
            raise _Refused(f"S3 has another segment as {reservation.key}; this one gets the next number")
        return reservation

    def _put(self, reservation: Reservation, segment: Segment, *, repeated: bool) -> str:
        """Upload a segment.

        Only this host may write this key. So if a repeat finds it, the attempt before had been successful.

        Returns:
            The digest of what S3 has under the key; "" if that is unknown.
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
                return reservation.sha256 if repeated else ""
            raise _failure(failure) from error


def _failure(failure: Failure) -> ArchiveError:
    return (_Refused if failure.name in _REFUSES_OBJECT else ArchiveError)(failure.text)


def _metadata(reservation: Reservation, segment: Segment) -> dict[str, str]:
    contents = segment.contents
    return {
        "lines": str(contents.lines),
        "bytes": str(contents.plain_bytes),
        "sha256": contents.sha256,
        "previous-sha256": reservation.previous,
    }


def _settle_marked(numbers: Numbers, path: Path) -> None:
    """Settle the files that an earlier run had marked, but not settled when it ended."""
    for name, reservation in list(numbers.reserved.items()):
        file = path.with_name(name)
        if file.exists() and not mark_of(file).exists():
            continue
        if not file.exists():
            _LOGGER.warning("%s: it was removed; S3 may lack segment %d", file, reservation.number)
        numbers.settle(name, reservation.sha256)
        upload_state.save(path, numbers)


def _mark(file: Path) -> None:
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
