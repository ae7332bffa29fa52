"""Numbers in JSON that is read leniently: as large as a log has them, with any Python from 3.11.0rc1."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.reading.lenient import decode_pairs, integer


@given(st.integers(-(10**638), 10**639))
def test_an_integer_of_some_hundred_digits_is_exact(number: int) -> None:
    assert integer(str(number)) == number


def test_one_of_thousands_of_digits_is_a_float() -> None:
    assert integer("9" * 300) == 10**300 - 1
    assert integer("9" * 5_000) == float("inf")


def test_a_python_without_a_limit_of_digits_reads_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 22.04 has 3.11.0rc1, in which `sys.int_info` does not name the limit."""
    monkeypatch.setattr(sys, "int_info", object())
    assert decode_pairs(b'{"a":7}', dict) == {"a": 7}
