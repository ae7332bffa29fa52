"""A seal belongs to one row, and to one key; so does the name of a row."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.seals import UNSEALED, ForeignRows, Seal, SecretKey

KEY, BODY = ("group#1", "window"), b"{}"
MARKS: dict[str, str | float] = {"due_kind": "window", "due_at": 1.5, "expires_at": 2}
SEAL = Seal("a key that nobody can guess, of 32 characters")


@pytest.mark.parametrize(
    "row",
    [
        (("group#2", "window"), BODY, MARKS),
        (("group#1", "held"), BODY, MARKS),
        (("group#", "1window"), BODY, MARKS),
        (KEY, b"{} ", MARKS),
        (KEY, BODY, {}),
        (KEY, BODY, {**MARKS, "expires_at": 3}),
        (KEY, BODY, {**MARKS, "due_kind": "held"}),
        (KEY, BODY, {"due_kind": "window", "due_at": 2, "expires_at": 1.5}),
    ],
)
def test_no_other_row_has_it(row: Any) -> None:
    seal = SEAL.of(KEY, BODY, MARKS)
    assert SEAL.holds(seal, KEY, BODY, MARKS)
    assert not SEAL.holds(seal, *row)


@pytest.mark.parametrize("seal", [b"", b"0", b"0" * 16, b"0" * 1_000])
def test_nothing_else_is_one(seal: bytes) -> None:
    assert not SEAL.holds(seal, KEY, BODY, MARKS)


def test_another_key_gives_another_one() -> None:
    assert len({one.of(KEY, BODY, MARKS) for one in (SEAL, Seal("another"), UNSEALED)}) == 3


def test_a_number_is_the_same_in_whatever_form_dynamodb_returns_it() -> None:
    assert SEAL.of(KEY, BODY, {"expires_at": 3}) == SEAL.of(KEY, BODY, {"expires_at": float("3.00")})


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),  # with lone surrogates
    st.integers(0, 3).map(str),
    st.sampled_from(["ordinary", "urgent", "\ud800", "\ufffd", "a\0b", "a", "0" * 32]),
)


BEGINNINGS = st.sampled_from(["alert#", "notification#"])


class TestNames:
    @given(BEGINNINGS, TEXTS, BEGINNINGS, TEXTS)
    def test_of_two_rows_are_two(self, beginning: str, text: str, other_beginning: str, other_text: str) -> None:
        one, other = beginning + text, other_beginning + other_text
        assert (SEAL.name(one) == SEAL.name(other)) == (one == other)
        # the alert of a notification has the same id
        assert (hidden(SEAL.name(one)) == hidden(SEAL.name(other))) == (one == other)

    @given(BEGINNINGS, TEXTS)
    def test_keep_their_beginning_and_the_rest_are_128_bits_that_depend_on_the_key(
        self, beginning: str, text: str
    ) -> None:
        name = SEAL.name(beginning + text)
        assert name.startswith(beginning)
        assert len(bytes.fromhex(hidden(name))) == 16
        assert name != Seal("another key that nobody can guess, as long").name(beginning + text)

    def test_without_a_key_are_clear(self) -> None:
        assert UNSEALED.name("sent#slack#1") == "sent#slack#1"


def hidden(name: str) -> str:
    return name.partition("#")[2]


@pytest.mark.parametrize("key", ["", "short", "x" * 31])
def test_a_key_that_can_be_guessed_is_refused(key: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(key, SecretKey)


def test_foreign_rows_are_counted_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    rows = ForeignRows()
    rows.add(("group#\n1", "window"))
    assert (rows.taken(), rows.taken()) == (1, 0)
    assert "group#" in caplog.text
    assert "\n1" not in caplog.text
