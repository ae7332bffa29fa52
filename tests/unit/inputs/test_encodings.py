"""Text in UTF-16 and UTF-32 is read as if it were UTF-8; other bytes stay as they are."""

from __future__ import annotations

import codecs
import gzip
import io
from pathlib import Path

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
