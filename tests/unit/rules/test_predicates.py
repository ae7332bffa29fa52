"""Predicates: the values at a path, and the result of each test."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldReference,
    Keyword,
    Never,
    Not,
    Number,
    Or,
    Regex,
    Text,
    TimePart,
)
from vaultwatch.rules.predicates import glob_regex, predicate, text_of, text_test, values

ABC = st.text(st.sampled_from("aAbB*?\\.\n"), max_size=6)


class TestValues:
    @pytest.mark.parametrize(
        ("view", "field", "expected"),
        [
            ({"a": 1}, "a", [1]),
            ({"a": {"b": "x"}}, "a.b", ["x"]),
            ({"a": [{"b": "x"}, {"b": ["y", ["z"]]}, {"c": 1}, "b", None]}, "a.b", ["x", "y", "z"]),
            ({"a": [["x", None, ""], []]}, "a", ["x"]),
            ({"a": None}, "a", []),
            ({"a": ""}, "a", []),
            ({"a": None}, "a.b", []),
            ({"a": "text"}, "a.b", []),
            ({}, "a.b.c", []),
            ({"a": False, "b": 0}, "a", [False]),
            ({"a": 0}, "a", [0]),
            ({"a": {}}, "a", [{}]),
            ({"a.b": 1}, "a.b", []),
        ],
    )
    def test_lists_are_flattened_and_only_null_and_empty_values_are_left_out(
        self, view: dict[str, Any], field: str, expected: list[Any]
    ) -> None:
        assert values(view, field) == expected

    @pytest.mark.parametrize(
        ("value", "text"),
        [("a", "a"), (5, "5"), (1.5, "1.5"), (True, "true"), (False, "false"), (None, None), ({}, None), ([], None)],
    )
    def test_scalars_as_text(self, value: Any, text: str | None) -> None:
        assert text_of(value) == text


class TestTexts:
    @given(ABC, ABC)
    def test_simple_tests_give_the_results_of_python(self, text: str, value: str) -> None:
        assert text_test("eq", value, True)(text) == (text == value)
        assert text_test("prefix", value, True)(text) == text.startswith(value)
        assert text_test("suffix", value, True)(text) == text.endswith(value)
        assert text_test("contains", value, True)(text) == (value in text)
        assert text_test("contains", value.lower(), False)(text) == (value.lower() in text.lower())

    @given(st.lists(st.sampled_from(["a", "b", ".", "\\*", "\\?", "\\\\", "*", "?"]), max_size=6), ABC)
    def test_globs_give_the_results_of_a_python_regex(self, parts: list[str], text: str) -> None:
        meaning = {"*": ".*", "?": "."}
        expected = "".join(meaning.get(part) or re.escape(part[-1]) for part in parts)
        assert text_test("glob", "".join(parts), True)(text) == bool(re.fullmatch(expected, text, re.DOTALL))

    @given(st.text("aab*", max_size=8), ABC)
    def test_so_do_globs_of_literals_and_stars(self, glob: str, text: str) -> None:
        assert text_test("glob", glob, True)(text) == bool(re.fullmatch(glob.replace("*", ".*"), text, re.DOTALL))

    def test_a_single_backslash_in_a_glob_is_literal(self) -> None:
        assert text_test("glob", "a\\b*", True)("a\\bc")
        assert glob_regex("\\") == "(?s)\\\\"

    @pytest.mark.parametrize(
        "condition",
        [
            Regex("a", "(a+)+$"),
            Regex("a", "(a|a)*b"),
            Text("a", "glob", "*a*a*a*a*a*a*b", False),
            Keyword("re", "(.*)*x$", True),
        ],
    )
    def test_no_pattern_hangs_on_any_text(self, condition: Condition) -> None:
        assert not predicate(condition)({"a": "a" * 200_000 + "!"})


class TestPredicates:
    @pytest.mark.parametrize(
        ("condition", "view", "expected"),
        [
            (And((Exists("a", True), Exists("b", True))), {"a": 1}, False),
            (Or((Exists("a", True), Exists("b", True))), {"a": 1}, True),
            (Not(Exists("a", True)), {"a": 1}, False),
            (Never(), {"a": 1}, False),
            (Not(Never()), {}, True),
            (Keyword("contains", "x", False), {"a": [{"b": "aXb"}]}, True),
            (Keyword("contains", "x", False), {"x": ["a", {"x": None}]}, False),
            (Keyword("contains", "true", False), {"a": True}, True),
            (Cidr("a", "10.0.0.0/8"), {"a": ["x", "10.1.1.1"]}, True),
            (Cidr("a", "0.0.0.0/0"), {"a": "::1"}, False),
            (Number("a", "eq", 5), {"a": ["x", "5"]}, True),
            (Number("a", "gt", 5), {"a": "nan"}, False),
            (TimePart("a", "hour", "eq", 7), {"a": ["x", "2026-11-21T09:00:00+02:00"]}, True),
            (TimePart("a", "year", "lte", 9999), {"a": "0001-01-01T00:00:00+14:00"}, False),
            (FieldReference("a", "b", "eq"), {"a": ["x", "Y"], "b": ["y"]}, True),
            (FieldReference("a", "b", "eq"), {"a": "y", "b": "Y"}, True),
            (FieldReference("a", "b", "prefix"), {"a": "y", "b": "yx"}, False),
        ],
    )
    def test_table(self, condition: Condition, view: dict[str, Any], expected: bool) -> None:
        assert predicate(condition)(view) is expected

    def test_parts_of_a_time_do_not_depend_on_the_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            assert predicate(TimePart("a", "hour", "eq", 7))({"a": "2026-11-21T07:00:00Z"})
        finally:
            monkeypatch.undo()
            time.tzset()

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below),
            max_leaves=8,
        )
    )
    def test_no_value_raises(self, value: Any) -> None:
        for condition in (
            Text("a", "contains", "x", False), Regex("a.b", "x"), Cidr("a", "10.0.0.0/8"),
            Number("a", "lt", 5), Boolean("a.b", True), TimePart("a", "hour", "eq", 5), Exists("a.a", False),
            FieldReference("a", "b", "contains"), Keyword("glob", "*a?*", False),
        ):  # fmt: skip
            assert predicate(condition)({"a": value, "b": value}) in (True, False)
