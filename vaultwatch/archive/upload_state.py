"""The numbers of a log's segments, in a file beside its rotated files.

A host may write below its own prefix in the archive, and neither list nor read it. So the file says which number is
next, and which rotated file has which number until S3 has confirmed it. A number is written here before its upload
begins: whatever ends a run, the next one repeats the upload under the same key, where `If-None-Match` makes a repeat
harmless. Of a file that is followed, it also says how far S3 has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from vaultwatch.appending import write_all
from vaultwatch.errors import ArchiveError

_MAX_OFFSETS = 100


class Reservation(msgspec.Struct, frozen=True):
    """The place of a rotated file in the archive.

    Attributes:
        number: Its sequence number.
        key: Its key.
        sha256: The digest of the segment when the number was reserved.
        previous: The digest of the segment before it; "" for the first.
        start: Of a file that is followed, where its part begins, in bytes.
        end: Where it ends.
    """

    number: int
    key: str
    sha256: str
    previous: str
    start: int = 0
    end: int = 0


class Numbers(msgspec.Struct):
    """The numbers of one log.

    Attributes:
        last: The last number that was reserved.
        sha256: The digest of that segment.
        reserved: By the name of a rotated file, or the identity of one that is followed, what S3 has not confirmed yet.
        offsets: By the identity of a file that is followed, how many bytes of it S3 has; the latest hundred.
        version: Of this format.
    """

    last: int = 0
    sha256: str = ""
    reserved: dict[str, Reservation] = {}
    offsets: dict[str, int] = {}
    version: Literal[1] = 1

    def reserve(self, name: str, key: str, sha256: str, start: int = 0, end: int = 0) -> Reservation:
        """Give a rotated file, or a part of one that is followed, the next number.

        Args:
            name: The name of the file.
            key: The key of its segment, with that number.
            sha256: The digest of its segment.
            start: Where the part begins, in bytes.
            end: Where it ends.
        """
        reservation = Reservation(self.last + 1, key, sha256, self.sha256, start, end)
        self.last, self.sha256 = reservation.number, sha256
        self.reserved[name] = reservation
        return reservation

    def advance(self, identity: str, offset: int) -> None:
        """Note how many bytes of a file S3 has; a file is forgotten when there are a hundred newer ones."""
        self.offsets.pop(identity, None)
        self.offsets[identity] = offset
        for oldest in list(self.offsets)[:-_MAX_OFFSETS]:
            del self.offsets[oldest]

    def settle(self, name: str, sha256: str) -> None:
        """Forget the reservation of a file, because S3 has a segment with this digest under its key."""
        reservation = self.reserved.pop(name)
        if reservation.number == self.last:
            self.sha256 = sha256


def load(path: Path) -> Numbers:
    """Read the numbers of a log; without a file, they begin.

    Raises:
        ArchiveError: The file cannot be read. Nothing may be uploaded then: numbers would be used twice.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Numbers()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            return msgspec.json.decode(file.read(), type=Numbers)
    except (OSError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{path}: {error}") from error


def save(path: Path, numbers: Numbers) -> None:
    """Replace the file at once, on the disk before this returns.

    Raises:
        ArchiveError: It cannot be written; the old one is as it was.
    """
    part = path.with_name(f"{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o600)
        try:
            write_all(descriptor, msgspec.json.encode(numbers))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Write the names of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
