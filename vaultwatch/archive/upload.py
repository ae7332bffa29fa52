"""Upload the rotated files of a log server: each as one segment, the oldest first, with contiguous numbers.

Its number is written to the disk, S3 confirms the segment, the mark is written to the disk, and the number is settled.
In this order nothing is lost and nothing is stored twice, whatever ends the process between two steps. Only a file with
a mark can be removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vaultwatch.archive import upload_state
from vaultwatch.archive.storing import LOGGER, Refused, Storing, mark
from vaultwatch.archive.upload_state import Numbers, Reservation
from vaultwatch.archive.waiting import Log, NotReady, Segment, segment_of, waiting
from vaultwatch.rotated_files import mark_of


class Uploads(Storing):
    """Uploads rotated files that logrotate has compressed."""

    def upload_log(self, log: Log, folder: Path) -> Iterator[str]:
        """See `Storing`."""
        path = log.numbers(folder)
        numbers = upload_state.load(path)
        _settle_marked(numbers, path)
        for file in waiting(log, folder):
            try:
                with segment_of(file, self.settle_seconds) as segment:
                    reservation = self._upload(log, file, numbers, segment)
            except NotReady as error:
                LOGGER.info("%s: not uploaded yet: %s", file, error)
            except Refused as error:
                self.fail(f"{file}: {error}")
            else:
                yield reservation.key

    def _upload(self, log: Log, file: Path, numbers: Numbers, segment: Segment) -> Reservation:
        path, sha256 = log.numbers(file.parent), segment.contents.sha256
        reservation = numbers.reserved.get(file.name) or self.reserve(log, numbers, path, segment, file.name)
        found = self.put(reservation, segment)
        if found == sha256:
            mark(file)
        numbers.settle(file.name, found)
        upload_state.save(path, numbers)
        if found != sha256:
            raise Refused(f"S3 has another segment as {reservation.key}; this one gets the next number")
        return reservation


def _settle_marked(numbers: Numbers, path: Path) -> None:
    """Settle the files that an earlier run had marked, but not settled when it ended."""
    for name, reservation in list(numbers.reserved.items()):
        file = path.with_name(name)
        if file.exists() and not mark_of(file).exists():
            continue
        if not file.exists():
            LOGGER.warning("%s: it was removed; S3 may lack segment %d", file, reservation.number)
        numbers.settle(name, reservation.sha256)
        upload_state.save(path, numbers)
