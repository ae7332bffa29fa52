"""The keys of a rule that control notifications: the values that they accept and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling.collection import compile_directories
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule

SELECTION = {"selection": {"request.path": "a"}, "condition": "selection"}


@pytest.fixture
def compiled(tmp_path: Path) -> Any:
    """Compile a rule with these keys added."""

    def compile_with(**keys: Any) -> CompiledRule:
        rule = {
            "title": "T", "name": "audit_x", "level": "high", "detection": SELECTION,
            "logsource": {"product": "vault", "service": "audit"}, **keys,
        }  # fmt: skip
        (tmp_path / "audit_x.yml").write_text(yaml.safe_dump(rule))
        (found,) = compile_directories([tmp_path])
        return found

    return compile_with


def test_without_them_a_rule_has_one_title_and_the_usual_group_and_window(compiled: Any) -> None:
    rule = compiled()
    assert (rule.denied_title, rule.denied_level, rule.unanswered_title) == ("", None, "")
    assert (rule.group_by, rule.window_seconds, rule.same_as) == ((), None, ())


def test_each_key_has_the_value_of_the_rule(compiled: Any) -> None:
    rule = compiled(
        denied={"title": "T denied", "level": "low"},
        unanswered={"title": "T requested"},
        **{"group-by": ["request.path", "auth.metadata.role_name"], "window": "15m", "same-as": ["audit_x"]},
    )
    assert (rule.denied_title, rule.denied_level, rule.unanswered_title) == ("T denied", Level.LOW, "T requested")
    assert rule.group_by == ("request.path", "auth.metadata.role_name")
    assert (rule.window_seconds, rule.same_as) == (900, ("audit_x",))


@pytest.mark.parametrize(
    ("window", "seconds"), [(90, 90), ("90", 90), ("30s", 30), ("2h", 7_200), ("7d", 604_800), (1, 1)]
)
def test_a_window_is_seconds_or_a_timespan_of_sigma(compiled: Any, window: Any, seconds: int) -> None:
    assert compiled(window=window).window_seconds == seconds


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"window": 0}, "audit_x.yml: window 0 is not a time"),
        ({"window": "15M"}, "window 15M is not a time"),
        ({"window": "8d"}, "window 8d is not a time"),
        ({"window": -5}, "window -5 is not a time"),
        ({"window": "soon"}, "window soon is not a time"),
        ({"denied": "T denied"}, "denied takes a map of title and level"),
        ({"denied": {"titel": "x"}}, "denied takes a map of title and level"),
        ({"denied": {"level": "worst"}}, "denied: unknown level worst"),
        ({"unanswered": {"level": "low"}}, "unanswered takes a map of title"),
        ({"group-by": "request.path"}, "group-by takes a list of names"),
        ({"group-by": ["request.pth"]}, "unknown field request.pth.*did you mean `request.path`"),
        ({"same-as": ["audit_xy"]}, "audit_x: same-as names an unknown rule audit_xy.*did you mean `audit_x`"),
        ({"same-as": [5]}, "same-as takes a list of names"),
    ],
)
def test_an_invalid_value_is_refused_by_name(compiled: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        compiled(**keys)


def test_a_filter_accepts_none_of_them(tmp_path: Path) -> None:
    found = {
        "title": "F", "logsource": {"product": "vault", "service": "audit"}, "window": "1h",
        "filter": {"rules": "any", "selection": {"request.path": "a"}, "condition": "not selection"},
    }  # fmt: skip
    (tmp_path / "f.yml").write_text(yaml.safe_dump(found))
    with pytest.raises(RuleError, match="unknown key window"):
        compile_directories([tmp_path])
