"""Which alerts are one group, and its suppression window."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.groups import file_alert, group_key
from vaultwatch.rules.facts import Level


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "other"},
        {"cluster": "test"},
        {"principal": "bob"},
        {"namespace": "team/"},
        {"path": "x"},
        {"outcome": "failed"},
        {"group_values": ("default",)},
    ],
)
def test_rule_cluster_principal_namespace_path_denial_and_the_rules_own_fields_make_another_group(
    changes: dict[str, Any],
) -> None:
    assert group_key(an_alert()) != group_key(an_alert(**changes))


@pytest.mark.parametrize(
    "changes", [{"remote_address": "x"}, {"node": "x"}, {"lane": "socket"}, {"outcome": "unknown"}, {"late": True}]
)
def test_no_other_field_makes_another_group(changes: dict[str, Any]) -> None:
    assert group_key(an_alert("e1")) == group_key(an_alert("e2", **changes))


@pytest.mark.parametrize(
    ("level", "apart"), [("low", False), ("medium", False), ("high", True), ("critical", True)]
)  # fmt: skip
def test_the_path_is_part_of_the_group_for_high_and_critical_only(level: str, apart: bool) -> None:
    one, other = (group_key(an_alert(level=Level(level), path=path)) for path in ("a", "b"))
    assert (one != other) == apart


def test_acts_that_are_each_notified_share_the_group_of_their_path() -> None:
    one, other = (an_alert(event, group_values=(event,)) for event in ("e1", "e2"))
    assert group_key(one) == group_key(other) != group_key(replace(other, path="y"))
    assert file_alert(one).is_each
    assert not any(file_alert(alert).is_each for alert in (replace(one, outcome="failed"), an_alert()))


def test_fields_do_not_run_into_each_other() -> None:
    assert group_key(an_alert(principal="a", namespace="bc")) != group_key(an_alert(principal="ab", namespace="c"))
    assert group_key(an_alert(principal='a","', namespace="")) != group_key(an_alert(principal="a", namespace='","'))
    assert group_key(an_alert(group_values=("a", "b"))) != group_key(an_alert(group_values=("ab",)))


def test_names_that_utf_8_cannot_encode_make_groups_of_their_own() -> None:
    names = ["a?", "a\ud800", "a\udfff", "a\ud800\ud800"]
    assert len({group_key(an_alert(principal=name)) for name in names}) == len(names)


@pytest.mark.parametrize(("level", "minutes"), [("critical", 5), ("high", 15), ("medium", 60), ("low", 60)])
def test_the_level_decides_how_long_a_window_is(level: str, minutes: int) -> None:
    assert file_alert(an_alert(level=Level(level))).window_seconds == 60 * minutes


def test_a_rule_may_set_its_own_window() -> None:
    assert file_alert(an_alert(window_seconds=7)).window_seconds == 7


def test_people_are_notified_of_all_but_staged_and_informational_alerts() -> None:
    assert [file_alert(an_alert(level=level)).notify for level in Level] == [False, True, True, True, True]
    assert not file_alert(an_alert(staged=True)).notify
