"""Text from a log on a terminal: it cannot move the cursor, hide text or reverse the reading direction."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.printable import one_line, spelled_out

UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_every_control_format_separator_and_surrogate_character_is_spelled_out() -> None:
    unsafe = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) in UNSAFE]
    assert len(unsafe) > 2_000
    assert [char for char in unsafe if not spelled_out(char).startswith("\\") or not spelled_out(char).isascii()] == []


@pytest.mark.parametrize("char", "\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00\ufe0f\uffa0\U000e0100")
def test_an_invisible_letter_is_spelled_out(char: str) -> None:
    assert spelled_out(f"a{char}b") not in (f"a{char}b", "ab")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße 中文 🔑", "Grüße 中文 🔑"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert spelled_out(text) == one_line(text) == shown


@given(st.text(), st.integers(1, 40))
def test_is_one_printable_line_of_at_most_the_limit(text: str, limit: int) -> None:
    shown = one_line(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode()
    assert shown == spelled_out(text) or shown.endswith("…")


def test_a_text_that_fits_is_not_cut() -> None:
    assert [one_line("abcd", limit) for limit in (5, 4, 3)] == ["abcd", "abcd", "ab…"]
