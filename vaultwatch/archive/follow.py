"""Follow the file of an audit device: upload what was written to it since the last run, in whole lines.

The number and the part of the file that it is for are written to the disk, S3 confirms the segment, and the number is
settled together with the new offset. In this order nothing is lost and nothing is stored twice, whatever ends the
process between two steps. A rotated file gets its mark when S3 has all of it: only then can it be removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vaultwatch.archive import upload_state
from vaultwatch.archive.following import Followed, Span, followed, next_span, segment_of_span
from vaultwatch.archive.storing import LOGGER, Refused, Storing, mark
from vaultwatch.archive.upload_state import Numbers
from vaultwatch.archive.waiting import Log, NotReady, waiting
from vaultwatch.rotated_files import open_files


@dataclass
class Follower(Storing):
    """Uploads the file of an audit device while it grows, and its rotated files.

    Attributes:
        segment_bytes: How many bytes of the file become one segment, unless it is a single line.
    """

    segment_bytes: int = 64 * 1024 * 1024

    def upload_log(self, log: Log, folder: Path) -> Iterator[str]:
        """See `Storing`."""
        numbers = upload_state.load(log.numbers(folder))
        known = set[str]()
        rotated = waiting(log, folder)
        in_use = open_files() if rotated else None  # before this process opens them
        for path in (*rotated, folder / log.name):
            try:
                with followed(path, None if path.name == log.name else in_use, self.settle_seconds) as found:
                    known.add(found.identity)
                    self._check_shorter(path, found, numbers)
                    yield from self._upload(log, path, found, numbers)
            except NotReady as error:
                LOGGER.info("%s: not uploaded yet: %s", path, error)
            except Refused as error:
                self.fail(f"{path}: {error}")
        self._give_up_lost(log, folder, numbers, known)

    def _give_up_lost(self, log: Log, folder: Path, numbers: Numbers, known: set[str]) -> None:
        """Report numbers whose file is gone, and forget them. A file that is just being renamed is not gone."""
        pending = numbers.reserved.keys() - known
        if pending:
            reused = {_inode(identity) for identity in known}
            present = _inodes(folder) | _inodes(folder)
            for identity in pending:
                if _inode(identity) in reused or _inode(identity) not in present:
                    lost = numbers.reserved.pop(identity)
                    self.fail(f"{folder / log.name}: a file was removed; S3 may lack segment {lost.number}")
            upload_state.save(log.numbers(folder), numbers)

    def _check_shorter(self, path: Path, found: Followed, numbers: Numbers) -> None:
        """Report a file that was truncated. What it has now is uploaded: twice is better than never."""
        reservation = numbers.reserved.get(found.identity)
        if found.size < max(numbers.offsets.get(found.identity, 0), reservation.end if reservation else 0):
            self.fail(f"{path}: it is shorter than what was uploaded of it; it is uploaded again from its beginning")
            numbers.reserved.pop(found.identity, None)
            numbers.advance(found.identity, 0)

    def _upload(self, log: Log, path: Path, found: Followed, numbers: Numbers) -> Iterator[str]:
        while span := next_span(found, numbers, self.segment_bytes):
            yield self._upload_span(log, path, found, numbers, span)
        if found.is_finished and os.fstat(found.file.fileno()).st_size == found.size:
            mark(path)

    def _upload_span(self, log: Log, path: Path, found: Followed, numbers: Numbers, span: Span) -> str:
        state = log.numbers(path.parent)
        with segment_of_span(found, span) as segment:
            known = numbers.reserved.get(found.identity)
            reservation = known or self.reserve(log, numbers, state, segment, found.identity, span)
            stored = self.put(reservation, segment)
        is_stored = stored in (segment.contents.sha256, reservation.sha256)
        if is_stored:
            numbers.advance(found.identity, span.end)
        numbers.settle(found.identity, stored)
        upload_state.save(state, numbers)
        if not is_stored:
            raise Refused(f"S3 has another segment as {reservation.key}; this one gets the next number")
        return reservation.key


def _inode(identity: str) -> str:
    return identity.partition("-")[0]


def _inodes(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        return {str(entry.inode()) for entry in entries}
