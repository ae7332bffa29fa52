"""Encode and decode a frame: the data of one Kinesis record.

    seal      12 bytes: a zstd skippable frame (which every zstd reader skips) that holds the CRC-32 of the rest
    content   one zstd frame with its content checksum and size: a JSON header line, then the raw tagged lines

The seal is needed because zstd's checksum covers the decompressed bytes: some bits of a zstd frame can change without
changing what it decompresses to. docs/frames.md describes the format for readers in other languages.
"""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import zstandard

from vaultwatch.errors import FrameError
from vaultwatch.reading.identity import Seen

VERSION: Literal[1] = 1
MAX_RECORD_BYTES = 1_000_000
"""The most that `ship` puts into one frame; Kinesis accepts 1 MiB (1,048,576 bytes) of data and partition key."""
MAX_LINES_BYTES = 16 * 1024 * 1024
"""The most that the lines of one frame may take once decompressed."""
MAX_HEADER_BYTES = 1024 * 1024

_SEAL = struct.Struct("<III")
_SKIPPABLE_FRAME, _CRC_BYTES = 0x184D2A5B, 4

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Counter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many lines and bytes of one origin a process has put into frames since it started.

    Lines without a tag are counted under empty names. The table of origins is bounded: those beyond its bound share the
    row `*`, `*`, `*`.
    """

    cluster: str
    node: str
    lane: str
    lines: Natural
    bytes: Natural


class Records(msgspec.Struct, frozen=True, dict=True, eq=False, tag_field="kind", tag="records"):
    """Whole lines as they arrived, tags included. Only the last line of a stream may lack its newline.

    They are the bytes of `data` from `start` on: behind the header of a decoded frame, of which no copy is made.
    """

    data: bytes
    start: int = 0

    @property
    def size(self) -> int:
        """The bytes that the lines take."""
        return len(self.data) - self.start

    @property
    def lines(self) -> bytes:
        """The lines as one text; a copy if a header precedes them."""
        return self.data[self.start :]

    def head(self, size: int) -> bytes:
        """Return at most `size` bytes of the first lines."""
        return self.data[self.start : self.start + size]

    @cached_property
    def split(self) -> list[bytes]:
        """The lines as a list, each with its newline. Split only once: for the count, and for the reader."""
        stream = BytesIO(self.data)
        stream.seek(self.start)
        return stream.readlines()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and self.lines == other.lines

    def __hash__(self) -> int:
        return hash(self.lines)


class Heartbeat(msgspec.Struct, frozen=True, tag_field="kind", tag="heartbeat"):
    """What a process has put into all frames before this one.

    `final` says that it has reached the end of its input and sends nothing more.
    """

    counters: tuple[Counter, ...]
    final: bool = False


class Reference(msgspec.Struct, frozen=True, tag_field="kind", tag="reference"):
    """A claim check for lines too large for a record: the object that holds them, its bytes, lines and SHA-256 (hex).

    An empty bucket means that none was configured: the lines are in the file `key` on the log server. An object that
    does not end in a newline is continued by the next reference of the same process.
    """

    bucket: str
    key: str
    size: Natural
    count: Natural
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Frame(msgspec.Struct, frozen=True):
    """One frame. `process` and `sequence` identify it: a second frame with the same two is a copy.

    `source` is the log source, `log_server` the host that sent the frame, `first` and `last` are the arrival times of
    its first and last line. Records without a time of their own get their event keys from `before`, which says for each
    node how far its log had been read when the frame began (`vaultwatch.reading.identity.Seen`), and for nodes that are
    not in it from `log_start`.
    """

    source: Literal["audit", "server"]
    log_server: str
    process: UUID
    sequence: Natural
    first: Instant
    last: Instant
    content: Records | Heartbeat | Reference
    log_start: str = ""
    before: dict[str, Seen] = {}


class _RecordsMark(msgspec.Struct, frozen=True, tag_field="kind", tag="records"):
    """The content of a header whose lines follow it."""


class _Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: Literal[1]
    source: Literal["audit", "server"]
    log_server: str
    process: UUID
    sequence: Natural
    count: Natural
    size: Natural
    first: Instant
    last: Instant
    content: _RecordsMark | Heartbeat | Reference
    log_start: Annotated[str, msgspec.Meta(max_length=64)] = ""
    before: dict[str, Seen] = {}


_header_decoder = msgspec.json.Decoder(_Header)


def count_lines(lines: bytes | bytearray) -> int:
    """Return the number of lines; a last line without a newline counts."""
    return lines.count(b"\n") + (bool(lines) and not lines.endswith(b"\n"))


def encode(frame: Frame) -> bytes:
    """Encode a frame as the data of one Kinesis record.

    The caller keeps it below `MAX_RECORD_BYTES`; this function does not check.
    """
    lines = frame.content.lines if isinstance(frame.content, Records) else b""
    header = msgspec.json.encode(_header(frame, lines)) + b"\n"
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True)
    stream = compressor.compressobj(size=len(header) + len(lines))
    content = b"".join((stream.compress(header), stream.compress(lines), stream.flush()))
    return _SEAL.pack(_SKIPPABLE_FRAME, _CRC_BYTES, zlib.crc32(content)) + content


def _header(frame: Frame, lines: bytes) -> _Header:
    return _Header(
        version=VERSION,
        source=frame.source,
        log_server=frame.log_server,
        process=frame.process,
        sequence=frame.sequence,
        count=frame.content.count if isinstance(frame.content, Reference) else count_lines(lines),
        size=len(lines),
        first=frame.first.astimezone(UTC),
        last=frame.last.astimezone(UTC),
        content=_RecordsMark() if isinstance(frame.content, Records) else frame.content,
        log_start=frame.log_start,
        before=frame.before,
    )


def decode(data: bytes, max_bytes: int = MAX_LINES_BYTES) -> Frame:
    """Decode the data of one Kinesis record completely, or not at all.

    Args:
        data: The record's data, after base64 decoding.
        max_bytes: The most that its lines may take; nothing larger is decompressed.

    Raises:
        FrameError: If `encode` cannot have written this data.
    """
    content = _unpack(_unseal(data), max_bytes + MAX_HEADER_BYTES)
    newline = content.find(b"\n", 0, MAX_HEADER_BYTES + 1)
    if newline < 0:
        raise FrameError("frame: no header line")
    header, records = _parse(content[:newline]), Records(content, newline + 1)
    if records.size > max_bytes:
        raise FrameError(f"frame: decompresses to more than {max_bytes} bytes")
    _check(header, records)
    return Frame(
        source=header.source,
        log_server=header.log_server,
        process=header.process,
        sequence=header.sequence,
        first=header.first,
        last=header.last,
        content=records if isinstance(header.content, _RecordsMark) else header.content,
        log_start=header.log_start,
        before=header.before,
    )


def _unseal(data: bytes) -> memoryview:
    if len(data) < _SEAL.size:
        raise FrameError(f"frame: {len(data)} bytes are too short for a frame")
    magic, length, crc = _SEAL.unpack_from(data)
    if (magic, length) != (_SKIPPABLE_FRAME, _CRC_BYTES):
        raise FrameError("frame: does not begin with the seal of a frame")
    content = memoryview(data)[_SEAL.size :]
    if zlib.crc32(content) != crc:
        raise FrameError("frame: damaged or cut off (CRC-32 differs)")
    return content


def _unpack(content: memoryview, max_bytes: int) -> bytes:
    """Decompress one zstd frame. It must state its size: a larger one is refused before any memory is taken."""
    try:
        parameters = zstandard.get_frame_parameters(content)
        if not parameters.has_checksum or parameters.dict_id:
            raise FrameError("frame: its zstd frame has no checksum, or requires a dictionary")
        if parameters.content_size > max_bytes:  # an unknown size is the largest number there is
            raise FrameError(f"frame: decompresses to more than {max_bytes} bytes")
        return zstandard.ZstdDecompressor().decompress(content, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FrameError(f"frame: {error}") from error


def _parse(head: bytes) -> _Header:
    try:
        return _header_decoder.decode(head)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"frame: header: {error}") from error


def _check(header: _Header, records: Records) -> None:
    if records.size != header.size:
        raise FrameError(f"frame: {records.size} bytes of lines where its header says {header.size}")
    if records.size and not isinstance(header.content, _RecordsMark):
        raise FrameError("frame: has lines, although its kind has none")
    count = header.content.count if isinstance(header.content, Reference) else len(records.split)
    if count != header.count:
        raise FrameError(f"frame: {count} lines where its header says {header.count}")
