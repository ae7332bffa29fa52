"""Chunks of any size become whole lines, byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.work import growth
from vaultwatch.ship.reading import Block, LineReader

chunks = st.lists(st.lists(st.sampled_from([b"\n", b"a", b"\x00", b"\xff", b"line"]), max_size=6).map(b"".join))


def read(given_chunks: list[bytes], max_line_bytes: int = 1000) -> tuple[list[Block], list[Block]]:
    reader = LineReader(max_line_bytes)
    blocks = [block for chunk in given_chunks for block in reader.feed(chunk)]
    return blocks, list(reader.rest())


@given(chunks)
def test_every_byte_is_returned_in_order(given_chunks: list[bytes]) -> None:
    blocks, rest = read(given_chunks)
    assert b"".join(blocks + rest) == b"".join(given_chunks)


@given(chunks)
def test_every_block_but_the_last_ends_with_a_newline(given_chunks: list[bytes]) -> None:
    blocks, rest = read(given_chunks)
    assert all(block.endswith(b"\n") for block in blocks)
    assert all(b"\n" not in block for block in rest)


@given(chunks)
def test_a_line_of_several_chunks_is_a_block_of_its_own(given_chunks: list[bytes]) -> None:
    blocks, _ = read(given_chunks)
    assert all(block.count(b"\n") == 1 for block in blocks if isinstance(block, bytearray))


def test_a_line_is_returned_as_soon_as_its_newline_arrives() -> None:
    assert read([b"one\ntw"])[0] == [b"one\n"]


def test_an_endless_line_is_split() -> None:
    blocks, rest = read([b"x" * 600, b"x" * 600, b"x" * 10, b"\nnext\n"])
    assert [len(block) for block in blocks] == [1200, 11, 5]
    assert rest == []


def test_a_long_line_of_many_chunks_takes_linear_time() -> None:
    def line_of(chunks: int) -> None:
        blocks, _ = read([b"x" * 4096] * chunks + [b"\n"], max_line_bytes=2**30)
        assert len(blocks[0]) == chunks * 4096 + 1

    assert growth(line_of, 500) < 3
