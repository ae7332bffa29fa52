"""Text from a log on a terminal: it cannot move the cursor, hide text or reverse the reading direction."""

import json
import sys
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.printable import counted, one_line, printable_json, quoted, quoted_time, spelled_out

UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def characters(end: int = sys.maxunicode + 1) -> Iterator[str]:
    """Yield every character before a code."""
    return map(chr, range(end))


def test_every_control_format_separator_and_surrogate_character_is_spelled_out() -> None:
    unsafe = [char for char in characters() if unicodedata.category(char) in UNSAFE]
    assert len(unsafe) > 2_000
    assert [char for char in unsafe if not spelled_out(char).startswith("\\") or not spelled_out(char).isascii()] == []


def test_every_letter_and_digit_that_is_written_from_right_to_left_is_spelled_out() -> None:
    turned = [char for char in characters() if unicodedata.bidirectional(char) in ("R", "AL", "AN")]
    assert len(turned) > 3_000
    assert [char for char in turned if spelled_out(char) == char] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u05d0 (10.0.0.1)", "\\u05d0 (10.0.0.1)"),
        ("\u0338x", "\\u0338x"),
        ("x" + "\u0300" * 5, "x" + "\u0300" * 3 + "\\u0300" * 2),
        ("1\u20dd", "1\\u20dd"),
        ("\u200b\u0300", "\\u200b\\u0300"),
        (
            "Tie\u0302\u0301ng \u0939\u093f\u0928\u094d\u0926\u0940",
            "Tie\u0302\u0301ng \u0939\u093f\u0928\u094d\u0926\u0940",
        ),
    ],
)
def test_marks_stay_on_their_letter_and_nothing_changes_the_order_of_a_line(text: str, shown: str) -> None:
    assert spelled_out(text) == shown


def test_nothing_in_quotation_marks_looks_like_one() -> None:
    words = ("QUOTATION MARK", "DOUBLE PRIME", "TRIPLE PRIME", "DITTO MARK", "GERSHAYIM", "DOUBLE ACUTE ACCENT")
    named = [
        char
        for char in characters(0x20000)
        if not char.isalpha() and any(word in unicodedata.name(char, "") for word in words)
    ]
    alike = [char for char in named if not unicodedata.combining(char) and "SINGLE" not in unicodedata.name(char)]
    assert len(alike) > 25
    assert [char for char in alike if char in quoted(one_line(f"x {char} y"))[1:-1]] == []


@pytest.mark.parametrize("pair", ["''", "\u2019\u2019", "`\u00b4", "\u2032\uff07"])
def test_two_single_marks_do_not_look_like_a_double_one(pair: str) -> None:
    assert pair not in quoted(f"x{pair} (10.0.0.1) read y")
    assert quoted("Mallory's") == '"Mallory\'s"'


def test_a_text_in_place_of_a_time_is_quoted() -> None:
    assert quoted_time("2026-11-21T08:29:41.5+01:00") == "2026-11-21T08:29:41.5+01:00"
    assert quoted_time(one_line("2026-11-28T18:53:12.964171234Z", 27)) == "2026-11-28T18:53:12.964171…"
    assert quoted_time("x  critical  audit_seal") == '"x  critical  audit_seal"'


@given(st.text())
def test_printable_json_is_the_same_json(text: str) -> None:
    encodable = text.encode("utf-8", "replace").decode()
    assert json.loads(printable_json(json.dumps(encodable, ensure_ascii=False).encode())) == encodable


def test_printable_json_has_no_character_that_a_terminal_obeys() -> None:
    text = "".join([*characters(0x3100), *map(chr, range(0xD800, 0x20000))])
    shown = printable_json(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")).decode()
    assert not {char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Co", "Zl", "Zp")} - {"\x7f"}
    assert not {char for char in shown if unicodedata.bidirectional(char) in ("R", "AL", "AN")}


@pytest.mark.parametrize(
    "char", "\u2800\u180b\U0001d159\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00\ufe0f\uffa0\U000e0100"
)
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


@pytest.mark.parametrize(
    ("count", "unit", "shown"),
    [
        (0, "alert", "0 alerts"),
        (1, "alert", "1 alert"),
        (2_000, "more alert", "2,000 more alerts"),
        (1, "audit entry", "1 audit entry"),
        (2, "audit entry", "2 audit entries"),
        (1, "match", "1 match"),
        (2, "match", "2 matches"),
    ],
)
def test_a_number_has_its_unit_in_singular_or_plural(count: int, unit: str, shown: str) -> None:
    assert counted(count, unit) == shown
