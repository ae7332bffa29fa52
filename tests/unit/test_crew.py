"""Child processes that do pieces of work: results in order, ends without remains."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from vaultwatch.crew import Advance, Crew
from vaultwatch.errors import ChildEnded


def square(number: int, advance: Advance) -> bytes:
    advance(number)
    return b"%d" % number**2


def test_results_are_in_the_order_of_the_pieces() -> None:
    with Crew(square, 3) as crew:
        assert list(crew.results(range(40))) == [b"%d" % number**2 for number in range(40)]
        assert crew.done == sum(range(40))
        assert list(crew.results([7])) == [b"49"]
        assert list(crew.results([])) == []
    assert not multiprocessing.active_children()


def test_the_same_piece_may_be_asked_for_again() -> None:
    with Crew(square, 2) as crew:
        assert list(crew.results([3, 3, 3, 3, 4, 3, 3, 5, 5])) == [b"9"] * 4 + [b"16"] + [b"9"] * 2 + [b"25"] * 2


def test_results_may_be_large() -> None:
    with Crew(lambda number, _: bytes(1 << 22), 2) as crew:
        assert [len(found) for found in crew.results(range(6))] == [1 << 22] * 6


def test_no_more_pieces_are_asked_for_than_the_children_can_take() -> None:
    asked: list[int] = []

    def pieces() -> object:
        for number in range(100):
            asked.append(number)
            yield number

    with Crew(square, 2) as crew:
        next(crew.results(pieces()))  # type: ignore[arg-type]
        assert len(asked) <= 9


@pytest.mark.parametrize("status", [0, 3])
def test_a_child_that_ends_ends_the_work(status: int) -> None:
    def work(number: int, _: Advance) -> bytes:
        if number == 2:
            os._exit(status)
        return b""

    with Crew(work, 2) as crew, pytest.raises(ChildEnded, match=f"it exited with status {status}"):
        list(crew.results(range(9)))
    assert not multiprocessing.active_children()
