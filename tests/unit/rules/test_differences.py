"""Whatever silences a shipped rule where it is used is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vaultwatch.rules.conditions import Never
from vaultwatch.rules.differences import differences
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule, shipped_rules

SHIPPED = shipped_rules()
NAME = "audit_device_disabled"


def found(rules: list[Rule]) -> list[str]:
    return list(differences(rules, SHIPPED))


def changed(**members: Any) -> list[Rule]:
    return [Rule(msgspec.structs.replace(rule.compiled, **members)) if rule.name == NAME else rule for rule in SHIPPED]


def test_nothing_is_said_of_the_shipped_rules_and_of_others_beside_them() -> None:
    other = Rule(msgspec.structs.replace(SHIPPED[0].compiled, name="mine", condition=Never()))
    assert found([*SHIPPED, other]) == []


def test_rules_that_are_missing_are_named_and_those_beyond_five_counted() -> None:
    assert found([rule for rule in SHIPPED if rule.name != NAME]) == [f"1 shipped rule is not used: {NAME}"]
    (text,) = found([])
    assert text.startswith(f"{len(SHIPPED)} shipped rules are not used: audit_")
    assert text.endswith(f" and {len(SHIPPED) - 5} more")


def test_another_condition_is_named_with_the_files_of_its_filters() -> None:
    assert found(changed(condition=Never())) == [f"1 shipped rule is used with another condition: {NAME}"]
    (text,) = found(changed(condition=Never(), filters=("mine/f.yml",)))
    assert text == f"1 shipped rule is used with another condition (filters: mine/f.yml): {NAME}"


@pytest.mark.parametrize("members", [{"level": Level.LOW}, {"staged": True}, {"window_seconds": 604_800}])
def test_a_rule_that_may_notify_of_less_is_named(members: dict[str, Any]) -> None:
    assert found(changed(**members)) == [
        f"1 shipped rule is used at a lower level, staged or with another window: {NAME}"
    ]


@pytest.mark.parametrize("members", [{"title": "x"}, {"runbook": "x"}])
def test_a_rule_that_notifies_of_as_much_is_not(members: dict[str, Any]) -> None:
    assert found(changed(**members)) == []
