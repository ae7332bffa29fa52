"""Read an archived segment: the tag of its lines, and the lines, in chunks of bounded size.

The event key of a server-log message without a time (a banner) uses the last time that its node logged before it. That
time may be in the previous segment. A node's first segment has no previous one, and gives the same keys as the stream
(`Segment.is_first`). In a later segment that begins with a banner, that banner gets another alert id than on the
stream (the same at every sweep), so that people are notified of it twice. To avoid this, the writer of segments would
have to store `before` in the object's metadata: `ServerEventKeys.last(node)` at the end of the previous segment, as a
JSON array of time and ordinal, as in a frame's header. `sweep` could then pass it to `Detector.begin_log` as `last`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from vaultwatch.aws.keys import Segment
from vaultwatch.errors import ArchiveError
from vaultwatch.reading.records import UNKNOWN_CLUSTER
from vaultwatch.reading.zstd_reader import ZstdFrames

_LANES = {"audit": "socket", "audit-file": "file", "server": "server"}
_BITE_BYTES = 1024  # decompress to 32 MiB at most: 4 bytes of zstd can hold up to 128 KiB
_CHUNK_BYTES = 1024 * 1024


def tag_of(segment: Segment) -> bytes:
    """Return the tag that the segment's lines had on the stream.

    The archive does not hold the name of the cluster.
    """
    return f"@{UNKNOWN_CLUSTER}/{segment.node}/{_LANES[segment.source]} ".encode()


def unpack(compressed: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress a zstd file in chunks of 1 to 33 MiB.

    Args:
        compressed: The file's bytes, in chunks of any size.

    Raises:
        ArchiveError: The file is damaged or cut off; raised after everything that could be read.
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
        raise ArchiveError("cut off: its last zstd frame is incomplete")
