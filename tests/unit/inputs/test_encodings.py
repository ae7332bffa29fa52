"""Text in UTF-16 and UTF-32 is read as if it were UTF-8; other bytes stay as they are."""

from __future__ import annotations

import codecs
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.inputs.encodings import as_utf_8
from vaultwatch.inputs.logs import logs_in

TEXT = '{"type":"request","name":"ünïcode 🔑"}\r\n'


def read(raw: bytes) -> bytes:
    found: bytes = as_utf_8(io.BufferedReader(io.BytesIO(raw))).read()
    return found


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_what_the_encoding_is(name: str) -> None:
    assert read(TEXT.encode(name)) == TEXT.encode()


@pytest.mark.parametrize(("mark", "name"), [(codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")])
def test_a_mark_says_that_the_high_byte_is_first(mark: bytes, name: str) -> None:
    assert read(mark + TEXT.encode(name)) == TEXT.encode()


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_nuls(name: str) -> None:
    assert read(TEXT.encode(name)) == TEXT.encode()


MARKS = (b"", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@given(st.sampled_from(MARKS), st.binary(max_size=40).filter(lambda raw: b"\0" not in raw))
def test_bytes_without_nuls_stay_as_they_are_whatever_they_begin_with(mark: bytes, raw: bytes) -> None:
    raw = mark + raw
    assert read(raw) == (b"" if raw in MARKS else raw.removeprefix(codecs.BOM_UTF8))


def test_nuls_that_a_disk_has_left_before_a_log_are_no_encoding() -> None:
    assert read(b"\0" * 64 + TEXT.encode()) == b"\0" * 64 + TEXT.encode()


def test_gzip_in_gzip_is_decompressed_twice(tmp_path: Path) -> None:
    (file := tmp_path / "twice.gz").write_bytes(gzip.compress(gzip.compress(TEXT.encode())))
    found = [b"".join(chunk for chunk, _ in log.chunks()) for log in logs_in(str(file))]
    assert found == [TEXT.encode()]


class _Pieces(io.RawIOBase):
    """Bytes that arrive in pieces, behind a first one that shows the encoding."""

    def __init__(self, content: bytes, piece_bytes: int) -> None:
        self._content, self._piece_bytes, self._at = content, piece_bytes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._content[self._at :][: min(len(buffer), self._piece_bytes if self._at else 64)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def decoded(content: bytes, piece_bytes: int) -> str:
    found: bytes = as_utf_8(io.BufferedReader(_Pieces(content, piece_bytes))).read()
    return found.decode()


RECORDS = [f'{{"type":"request","request":{{"id":"{number}","path":"é-上-{number}"}}}}' for number in range(6)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("appended_mark", [False, True])
@pytest.mark.parametrize(
    ("mark", "wide"), [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (b"", "utf-16-le")]
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 64 * 1024])
def test_utf_8_that_was_appended_to_utf_16_is_read(
    mark: bytes, wide: str, appended_mark: bool, end: str, piece_bytes: int
) -> None:
    """Else it becomes other characters, which are in front of the next record, and are skipped there."""
    parts = [RECORDS[:2], RECORDS[2:3], RECORDS[3:4], RECORDS[4:]]
    texts = ["".join(record + end for record in part) for part in parts]
    marks = [mark, codecs.BOM_UTF8 if appended_mark else b"", mark if appended_mark else b"", b""]
    names = [wide, "utf-8", wide, "utf-8"]
    content = b"".join(before + text.encode(name) for before, text, name in zip(marks, texts, names, strict=True))
    assert decoded(content, piece_bytes).replace("\ufeff", "").splitlines() == RECORDS


def test_characters_of_which_none_is_ascii_remain_utf_16() -> None:
    text = "审计日志记录由客户端写入的任意文本内容包含许多汉字" * 400
    content = codecs.BOM_UTF16_LE + f'{{"x":"{text}"}}\n'.encode("utf-16-le")
    assert decoded(content, 64 * 1024) == f'{{"x":"{text}"}}\n'
