"""What an archive has: on S3, or in a folder with a copy of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.archive.chain import HIDDEN, Known, Segment
from vaultwatch.archive.contents import measure
from vaultwatch.archive.known import of_notes
from vaultwatch.archive.segments import unpack
from vaultwatch.aws.keys import ARCHIVE, SEEN, parse_seen
from vaultwatch.errors import ArchiveError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20
_CALLS_AT_ONCE = 8
_BATCH = 1000
_SHOWN_AGAIN = "it has been hidden by a delete marker, and was replaced"
_IN_COPY = re.compile(r".*?(source=[^/]+/node=[^/]+/.+)", re.DOTALL)


class _Object(NamedTuple):
    """The oldest version of an object, which Object Lock keeps, and what is wrong with its newer ones."""

    key: str
    version: str
    faults: tuple[str, ...]


def stored_on_s3(s3: S3Client, bucket: str, *, read: bool) -> Iterator[Segment]:
    """Yield what is stored in the archive, by key.

    S3 has computed the digest of each object when it was stored, and no version of an object can change.

    Args:
        s3: The client.
        bucket: The archive bucket.
        read: Whether to read each object to its end as well.
    """
    describe = partial(_described, s3, bucket, read=read)
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        found = _objects(s3, bucket, ARCHIVE)
        for start in range(0, len(found), _BATCH):
            yield from pool.map(describe, found[start : start + _BATCH])


def seen_on_s3(s3: S3Client, bucket: str) -> Known:
    """Return what `sweep` has noted of all segments that it has seen, also in notes that were hidden since."""
    return of_notes(note.key for note in _objects(s3, bucket, SEEN))


def _objects(s3: S3Client, bucket: str, prefix: str) -> list[_Object]:
    versions: dict[str, list[Any]] = defaultdict(list)
    hidden = dict[str, str]()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for version in page.get("Versions", ()):
            versions[version["Key"]].append(version)
        for marker in page.get("DeleteMarkers", ()):
            key = marker["Key"]
            hidden[key] = HIDDEN if marker["IsLatest"] else hidden.get(key, _SHOWN_AGAIN)
    return [_oldest(key, found, hidden.get(key)) for key, found in sorted(versions.items())]


def _oldest(key: str, versions: Sequence[Any], hidden: str | None) -> _Object:
    faults = [hidden] if hidden else []
    if len(versions) > 1:
        faults.append(f"replaced: it has {len(versions)} versions; the oldest one is compared")
    # S3 lists the newest first, and says when to the second only
    oldest = min(reversed(versions), key=lambda it: it["LastModified"])
    return _Object(key, oldest["VersionId"], tuple(faults))


def _described(s3: S3Client, bucket: str, found: _Object, *, read: bool) -> Segment:
    where: Any = {"Bucket": bucket, "Key": found.key, "VersionId": found.version, "ChecksumMode": "ENABLED"}
    answer: Any = s3.get_object(**where) if read else s3.head_object(**where)
    said = answer["Metadata"]
    sha256 = base64.b64decode(answer.get("ChecksumSHA256", "")).hex()
    faults = list(found.faults)
    if answer["ContentLength"] == 0:
        faults.append("empty")
    if read:
        actual, fault = _read(answer["Body"], said)
        faults += fault
        if sha256 and actual != sha256:
            faults.append("what was read is not what was stored")
        sha256 = actual
    if not sha256:
        faults.append("S3 has no SHA-256 of it: another program has stored it")
    elif said.get("sha256") != sha256:
        faults.append("its metadata has another SHA-256: another program has stored it")
    lines = said.get("lines", "")
    return Segment(
        found.key,
        sha256,
        said.get("previous-sha256"),
        answer["ContentLength"],
        int(lines) if lines.isdecimal() else 0,
        tuple(faults),
        answer["LastModified"].astimezone(UTC).isoformat(),
    )


def _read(body: Any, said: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the digest of a segment, and what is wrong with its contents; `said` is its metadata."""
    digest, contents = hashlib.sha256(), _Counted()

    def chunks() -> Iterator[bytes]:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
            yield chunk

    try:
        for chunk in unpack(chunks()):
            contents.add(chunk)
    except ArchiveError as error:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest(), [str(error)]
    return digest.hexdigest(), contents.compared(said)


@dataclass
class _Counted:
    """The lines and bytes of a segment, before compression."""

    newlines: int = 0
    size: int = 0
    last: bytes = b"\n"

    def add(self, chunk: bytes) -> None:
        self.newlines += chunk.count(b"\n")
        self.size += len(chunk)
        self.last = chunk[-1:] or self.last

    def compared(self, said: Mapping[str, str]) -> list[str]:
        """Return in what the metadata of its writer are wrong; another program's have neither."""
        found = {"lines": self.newlines + (self.last != b"\n"), "bytes": self.size}
        return [
            f"it has {count:,} {name}, and its metadata says {said[name]}"
            for name, count in found.items()
            if said.get(name, str(count)) != str(count)
        ]


def stored_in(folder: Path) -> Iterator[Segment]:
    """Yield the segments of a copy of the archive in a folder, by path; each is read to its end.

    A copy lacks the metadata, so that the digest of the segment before is unknown.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and _note_of(path) is None:
            yield _copied(path, folder)


def seen_in(folder: Path) -> Known:
    """Return what `sweep` has noted, if its notes were copied as well."""
    return of_notes(note for path in folder.rglob("*.json") if (note := _note_of(path)))


def _note_of(path: Path) -> str | None:
    """Return the key of the note that a file is a copy of; None for another file."""
    note = SEEN + "/".join(path.parts[-3:])
    return note if parse_seen(note) and path.parts[-4:-3] == (SEEN.strip("/"),) else None


def _copied(path: Path, folder: Path) -> Segment:
    found = _IN_COPY.fullmatch(path.as_posix())
    key = ARCHIVE + found[1] if found else path.relative_to(folder).as_posix()
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        file.seek(0)
        try:
            lines, faults = measure(file, datetime.now(UTC)).lines, ()
        except ArchiveError as error:
            return Segment(key, digest.hexdigest(), None, size, 0, (str(error),))
    return Segment(key, digest.hexdigest(), None, size, lines, faults)
