"""A frame is decoded exactly, or not at all."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.errors import FrameError
from vaultwatch.frames import Counter, Frame, Heartbeat, Records, Reference, count_lines, decode, encode

NOON = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
PROCESS = UUID("0b6f0f2e-7f43-4a3c-9a4e-6c1f2d3e4a5b")
LINES = b'@prod/vault-1/file {"type":"request"}\n@prod/vault-1/socket {"type":"request"}\n'


def a_frame(content: Records | Heartbeat | Reference | None = None, sequence: int = 7) -> Frame:
    return Frame("audit", "logs-1", PROCESS, sequence, NOON, NOON + timedelta(seconds=1), content or Records(LINES))


def sealed(content: bytes) -> bytes:
    return b"\x5b\x2a\x4d\x18\x04\x00\x00\x00" + zlib.crc32(content).to_bytes(4, "little") + content


def packed(text: bytes) -> bytes:
    return sealed(zstandard.ZstdCompressor(level=1, write_checksum=True).compress(text))


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data[12:])


naturals = st.integers(0, 2**63 - 1)
counters = st.builds(Counter, st.text(), st.text(), st.text(), naturals, naturals)
contents = st.one_of(
    st.builds(Records, st.binary()),
    st.builds(Records, st.lists(st.sampled_from([b"", b"\x00", b"\xff\xfe", LINES]), max_size=4).map(b"\n".join)),
    st.builds(Heartbeat, st.lists(counters, max_size=5).map(tuple), st.booleans()),
    st.builds(
        Reference, st.text(), st.text(), naturals, naturals, st.binary(min_size=32, max_size=32).map(lambda b: b.hex())
    ),
)
times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (aware below)
frames = st.builds(Frame, st.sampled_from(["audit", "server"]), st.text(), st.uuids(), naturals, times, times, contents)


@given(frames)
def test_a_decoded_frame_equals_the_encoded_one(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(frames, st.data())
def test_any_changed_byte_is_found(frame: Frame, data: st.DataObject) -> None:
    good = encode(frame)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        decode(bytes(bad))


@pytest.mark.parametrize("content", [Records(LINES), Heartbeat((Counter("c", "n", "file", 1, 2),))])
def test_every_single_bit_matters(content: Records | Heartbeat) -> None:
    good = encode(a_frame(content))
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            decode(bytes(bad))


def test_every_truncation_is_found() -> None:
    good = encode(a_frame())
    for length in range(len(good)):
        with pytest.raises(FrameError):
            decode(good[:length])


@pytest.mark.parametrize("tail", [b"\x00", b"\n", encode(a_frame())])
def test_bytes_after_a_frame_are_found(tail: bytes) -> None:
    good = encode(a_frame())
    with pytest.raises(FrameError):
        decode(good + tail)
    with pytest.raises(FrameError):
        decode(sealed(good[12:] + tail))


@given(st.binary(max_size=300))
def test_random_bytes_are_no_frame(noise: bytes) -> None:
    for data in (noise, sealed(noise), packed(noise), packed(noise + b"\n" + LINES)):
        with pytest.raises(FrameError):
            decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", None),
        ("count", 3),
        ("count", -1),
        ("size", len(LINES) - 1),
        ("source", "metrics"),
        ("process", "not-a-uuid"),
        ("first", "2026-11-21T12:00:00"),
        ("sequence", 2**63),
        ("content", {"kind": "photograph"}),
        ("content", {"kind": "heartbeat", "counters": []}),
        ("content", {"kind": "reference", "bucket": "b", "key": "k", "size": 1, "count": 2, "sha256": "0" * 64}),
        ("content", {"kind": "reference", "bucket": "b", "key": "k", "size": 1, "count": 2, "sha256": "zz"}),
    ],
)
def test_a_header_that_contradicts_the_lines_is_found(field: str, value: object) -> None:
    head, _, lines = unpacked(encode(a_frame())).partition(b"\n")
    header = msgspec.json.decode(head)
    assert decode(packed(msgspec.json.encode(header) + b"\n" + lines)) == a_frame()
    with pytest.raises(FrameError):
        decode(packed(msgspec.json.encode(header | {field: value}) + b"\n" + lines))


def test_a_later_version_may_add_fields_that_this_one_does_not_know() -> None:
    head, _, lines = unpacked(encode(a_frame())).partition(b"\n")
    more = msgspec.json.encode(msgspec.json.decode(head) | {"shard_hint": 3})
    assert decode(packed(more + b"\n" + lines)) == a_frame()


def test_a_decompression_bomb_is_refused() -> None:
    bomb = encode(a_frame(Records(b"a" * 100_000_000)))
    assert len(bomb) < 20_000
    with pytest.raises(FrameError, match="more than"):
        decode(bomb)


def test_a_frame_that_is_too_large_is_not_even_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encode(a_frame(Records(b"a" * 20_000_000)))

    def unpacks() -> None:
        raise AssertionError("it begins to unpack")

    monkeypatch.setattr("vaultwatch.frames.zstandard.ZstdDecompressor", unpacks)
    with pytest.raises(FrameError, match="more than"):
        decode(bomb)


def test_the_bound_is_exact() -> None:
    data = encode(a_frame())
    assert decode(data, max_bytes=len(LINES)) == a_frame()
    with pytest.raises(FrameError, match="more than"):
        decode(data, max_bytes=len(LINES) - 1)


def test_a_zstd_frame_must_have_its_size_and_its_checksum() -> None:
    text = unpacked(encode(a_frame()))
    sizeless = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    unchecked = zstandard.ZstdCompressor(write_checksum=False)
    for content in (sizeless.compress(text) + sizeless.flush(), unchecked.compress(text)):
        with pytest.raises(FrameError):
            decode(sealed(content))


def test_any_zstd_reader_can_read_a_frame() -> None:
    """The seal is a skippable frame: `zstd -dc` prints the header line and the lines."""
    with zstandard.ZstdDecompressor().stream_reader(encode(a_frame()), read_across_frames=True) as reader:
        assert reader.read().endswith(b"}\n" + LINES)


def test_times_are_written_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    frame = msgspec.structs.replace(a_frame(), first=NOON.astimezone(there))
    assert b'"first":"2026-11-21T12:00:00.250000Z"' in unpacked(encode(frame))


@pytest.mark.parametrize(
    ("lines", "count"), [(b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2), (b"a\nb", 2)]
)
def test_lines_are_counted_with_and_without_a_last_newline(lines: bytes, count: int) -> None:
    assert count_lines(lines) == count
