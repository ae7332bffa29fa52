"""Bytes are split at newlines and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.work import growth
from vaultwatch.reading.lines import LineSplitter


def split(chunks: list[bytes], **limits: int) -> list[bytes]:
    splitter = LineSplitter(**limits)
    return [line for chunk in chunks for line in splitter.push(chunk)] + splitter.flush()


@given(
    st.lists(st.binary(max_size=20) | st.just(b"\n") | st.just(b"a\r\nb\xe2\x80\xa8\x85\x0b\x0c\x1c\n"), max_size=20)
)
def test_the_lines_do_not_depend_on_how_the_bytes_arrive(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    lines = whole.split(b"\n")
    assert split(chunks) == [line + b"\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


def test_a_line_is_returned_as_soon_as_it_ends() -> None:
    splitter = LineSplitter()
    assert splitter.push(b"a") == []
    assert splitter.push(b"b\nc") == [b"ab\n"]
    assert splitter.push(b"") == []
    assert splitter.push(b"\n") == [b"c\n"]
    assert splitter.flush() == []


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_a_line_longer_than_the_limit_is_returned_in_pieces(chunks: list[bytes]) -> None:
    lines = split(chunks, max_line_bytes=10)
    assert b"".join(lines) == b"".join(chunks)


def test_the_kept_part_of_a_line_is_bounded() -> None:
    splitter = LineSplitter(max_line_bytes=100)
    pieces = [piece for _ in range(1_000) for piece in splitter.push(b"x" * 10)]
    assert max(len(piece) for piece in pieces) <= 110
    assert len(splitter.flush()[0]) <= 100


@pytest.mark.parametrize("chunk", [2**10, 2**16])
def test_a_long_line_takes_linear_time(chunk: int) -> None:
    def line_of(chunks: int) -> None:
        splitter, piece = LineSplitter(), b"x" * chunk
        assert [line for _ in range(chunks) for line in splitter.push(piece)] == []
        (line,) = splitter.push(b"\n")
        assert len(line) == chunks * chunk + 1

    assert growth(line_of, 500) < 3
