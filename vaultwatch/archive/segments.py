"""One archived segment, read again: the tag of its lines, and the lines, however large it unpacks.

A server-log message without a time (a banner) is identified by the last time logged before it on its node, which may be
in the segment before. The first segment has no such time, and neither had the stream (`Segment.is_first`). In a later
segment that begins with a banner, the banner has another alert id than on the stream, the same at each sweep, and is
notified twice. To close this, whoever writes segments has to add `before` to the object's metadata: what
`ServerEventKeys.last(node)` returns at the end of the previous segment, as a JSON array of time and ordinal, as in a
frame's header. `sweep` can then pass it to `Detector.begin_log` as `last`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from vaultwatch.aws.keys import Segment
from vaultwatch.errors import ArchiveError
from vaultwatch.reading.zstd_reader import ZstdFrames

_LANES = {"audit": "socket", "audit-file": "file", "server": "server"}
_BITE_BYTES = 1024  # unpack to 32 MiB at most: zstd makes at most 128 KiB of 4 bytes
_CHUNK_BYTES = 1024 * 1024


def tag_of(segment: Segment) -> bytes:
    """Return the tag that the segment's lines had on the stream; the cluster's name is not in the archive."""
    return f"@unknown/{segment.node}/{_LANES[segment.source]} ".encode()


def unpack(compressed: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack a zstd file, in chunks of 1 to 33 MiB.

    Raises:
        ArchiveError: The file is damaged or ends too early; raised after everything that could be read.
    """
    held, size = list[bytes](), 0
    frames = ZstdFrames()
    try:
        for chunk in compressed:
            for at in range(0, len(chunk), _BITE_BYTES):
                for piece in frames.unpack(chunk[at : at + _BITE_BYTES]):
                    held.append(piece)
                    size += len(piece)
                if size >= _CHUNK_BYTES:
                    yield b"".join(held)
                    held, size = [], 0
    except zstandard.ZstdError as error:
        yield b"".join(held)
        raise ArchiveError(f"damaged: {error}") from error
    yield b"".join(held)
    if not frames.whole:
        raise ArchiveError("cut off: its last zstd frame does not end")
