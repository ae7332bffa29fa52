"""Rejected lines as JSON: complete or cut at a limit, lossless, and encoded in little memory."""

from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.reading.records import Origin, Rejected
from vaultwatch.reading.rejected import encode_rejected


def encoded(raw: bytes, limit_bytes: int | None = None) -> dict[str, Any]:
    line = b"".join(encode_rejected(Rejected(raw, 'no "JSON"', Origin("c", "n", "file")), limit_bytes))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_is_kept_with_its_reason_and_origin() -> None:
    assert encoded('für\0"'.encode()) == {
        "reason": 'no "JSON"', "cluster": "c", "node": "n", "lane": "file", "bytes": 6, "line": 'für\0"',
    }  # fmt: skip


def test_a_line_without_a_tag_has_no_origin() -> None:
    line = json.loads(b"".join(encode_rejected(Rejected(b"", "why"))))
    assert line == {"reason": "why", "cluster": "", "node": "", "lane": "", "bytes": 0, "line": ""}


@given(st.binary(max_size=300) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_every_byte_comes_back_in_pieces_of_any_size(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaultwatch.reading.rejected._PIECE_BYTES", 3)
        found = encoded(raw)
    text = found.get("line")
    assert raw == (base64.b64decode(found["line_base64"]) if text is None else text.encode())


@pytest.mark.parametrize(("limit_bytes", "cut"), [(3, True), (4, False), (None, False)])
def test_a_line_above_the_limit_is_cut_and_has_a_digest_of_the_whole(limit_bytes: int | None, cut: bool) -> None:
    found = encoded(b"abcd", limit_bytes)
    assert (found["line"], found["bytes"]) == ("abc" if cut else "abcd", 4)
    assert found.get("sha256") == (hashlib.sha256(b"abcd").hexdigest() if cut else None)


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"x"])
def test_a_huge_line_takes_no_multiple_of_its_size_in_memory(byte: bytes) -> None:
    huge = Rejected(byte * (16 * 2**20), "why")
    tracemalloc.start()
    try:
        assert sum(map(len, encode_rejected(huge))) > 16 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()
