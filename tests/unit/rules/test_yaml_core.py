"""YAML means what it seems to say: plain values are text unless they are null, a boolean or a decimal number."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.sigma import entry, matches
from vaultwatch.rules.compiling.yaml_core import CoreLoader

PLAIN = st.text(st.sampled_from("0123456789+-.:_eExXoOnNyYtrufalsTNULL~ "), min_size=1, max_size=12)
NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
NAMED = {"null": None, "Null": None, "NULL": None, "~": None, **dict.fromkeys(("true", "True", "TRUE"), True)}
NAMED |= dict.fromkeys(("false", "False", "FALSE"), False)


def read(text: str) -> Any:
    return yaml.load(text, CoreLoader)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "No", "NO", "yes", "on", "off", "y", "n", "nUll", "tRue"),
        *("0777", "012345670123", "00", "-01", "0o17", "0x1F", "0b1", "1_000", "12:30:45", "190:20:30.15"),
        *("2026-11-21", "2026-11-21T07:29:41Z", ".inf", "-.INF", ".nan", "1.2.3", "10.0.0.1", "1e", "=", "+", "."),
    ],
)
def test_what_only_yaml_1_1_converts_stays_text(text: str) -> None:
    assert read(f"a: {text}") == {"a": text}
    assert read(f"[{text}]") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *NAMED.items(),
        *(("", None), ("5", 5), ("-5", -5), ("+5", 5), ("0", 0), ("9007199254740993", 2**53 + 1)),
        *(("1.5", 1.5), ("5.0", 5.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015)),
    ],
)
def test_null_booleans_and_decimal_numbers_keep_their_type(text: str, value: Any) -> None:
    found = read(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@given(PLAIN)
def test_any_plain_value_is_text_unless_it_is_null_a_boolean_or_a_number(text: str) -> None:
    try:
        found = read(f"a: {text}\n")["a"]
    except (yaml.YAMLError, TypeError):  # `: ` and the like are structure
        return
    plain = text.strip()
    if isinstance(found, int | float) and not isinstance(found, bool):
        assert NUMBER.fullmatch(plain)
        assert found == float(plain)
    elif found is None or isinstance(found, bool):
        assert plain == "" or NAMED[plain] is found
    elif isinstance(found, str):
        assert found == plain
        assert plain not in NAMED
        assert not NUMBER.fullmatch(plain)


@given(PLAIN)
def test_a_quoted_value_is_always_text(text: str) -> None:
    assert read(f"a: '{text}'") == {"a": text}
    assert read(f'a: "{text}"') == {"a": text}


@given(st.integers(-(10**30), 10**30), st.integers(-3, 3))
def test_integers_of_any_size_compare_exactly(number: int, step: int) -> None:
    detection = f"s: {{request.remote_port: {number}, request.wrap_ttl|gte: {number}}}\ncondition: s"
    for kind in (int, str):
        other = kind(number + step)
        assert matches(detection, entry(request={"remote_port": other, "wrap_ttl": kind(number)})) is (step == 0)
        assert matches(detection, entry(request={"remote_port": kind(number), "wrap_ttl": other})) is (step >= 0)


@pytest.mark.parametrize("text", ["no", "0777", "12:30:45", "2026-11-21", "1_000"])
def test_in_a_rule_such_a_value_matches_the_same_text_in_the_log(text: str) -> None:
    for detection in (
        f"s: {{request.path: {text}}}\ncondition: s",
        f"s: {{request.path|contains: {text}}}\ncondition: s",
    ):
        assert matches(detection, entry(request={"path": text}))
        assert not matches(detection, entry(request={"path": "false"}))
    assert matches("s: {request.path|expand: '%x%'}\ncondition: s", entry(request={"path": text}), x=[text])
