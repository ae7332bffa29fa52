"""One archived segment, read again: what its key says of its lines, and the lines, however large it unpacks.

A server-log message without a time (a banner) is known by the last time seen before it on its node, which is not in a
segment that begins with it. In the first segment there was none, as on the stream (`is_first`); in a later one the
banner has another alert id than on the stream, the same however often it is swept, and is told twice. To close this,
who writes segments has to put what `ServerEventKeys.last(node)` says at the end of the segment before into the
object's metadata: `before`, a JSON array of time and ordinal, as in a frame's header. sweep can then give it to
`Detector.begin_log` as `last`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import zstandard

from vaultwatch.errors import ArchiveError

_KEY = re.compile(r"archive/source=(audit|audit-file|server)/node=([\w.:-]{1,255})/")
_FIRST = re.compile(r".*/0*1-[^/]*\.zst", re.DOTALL)
_LANES = {"audit": "socket", "audit-file": "file", "server": "server"}
_NAME = re.compile(r"[\w.-]{1,255}", re.ASCII)
_BITE_BYTES = 1024  # becomes 32 MiB at most: zstd makes at most 128 KiB of 4 bytes
_CHUNK_BYTES = 1024 * 1024
_MAX_WINDOW_BYTES = 1 << 27


def tag_of(key: str, cluster: str = "") -> bytes:
    """The tag that lines of a segment would have had on the stream; else `ArchiveError`."""
    found = _KEY.match(key)
    if found is None:
        raise ArchiveError(f"not the key of a segment: {key[:200]!r}")
    known = cluster if _NAME.fullmatch(cluster) else "unknown"
    return f"@{known}/{found[2]}/{_LANES[found[1]]} ".encode()


def is_first(key: str) -> bool:
    """Whether a segment is the first of its source and node (`<sequence>-<first time>.zst`): a log begins with it."""
    return _FIRST.fullmatch(key) is not None


def unpack(compressed: Iterable[bytes]) -> Iterator[bytes]:
    """What a zstd file holds, in chunks of 1 to 33 MiB.

    Raises `ArchiveError`, after all that could be read, for a file that is damaged or ends too early.
    """
    held, size = list[bytes](), 0
    stream = _Stream()
    try:
        for chunk in compressed:
            for at in range(0, len(chunk), _BITE_BYTES):
                piece = stream.unpack(chunk[at : at + _BITE_BYTES])
                held.append(piece)
                size += len(piece)
                if size >= _CHUNK_BYTES:
                    yield b"".join(held)
                    held, size = [], 0
    except zstandard.ZstdError as error:
        yield b"".join(held)
        raise ArchiveError(f"damaged: {error}") from error
    yield b"".join(held)
    if not stream.whole:
        raise ArchiveError("cut off: its last zstd frame does not end")


class _Stream:
    """Zstd frames one after the other; `whole` between two of them."""

    def __init__(self) -> None:
        self._frames = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        self._frame = self._frames.decompressobj()
        self.whole = True

    def unpack(self, data: bytes) -> bytes:
        out = list[bytes]()
        while data:
            out.append(self._frame.decompress(data))
            self.whole = self._frame.eof
            data = self._frame.unused_data if self.whole else b""
            if self.whole:
                self._frame = self._frames.decompressobj()
        return b"".join(out)
