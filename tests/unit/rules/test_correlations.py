"""Compiling Sigma correlations: what each key means, and what is refused, by file and name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.rules.sigma import sigma
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import compile_directories, compile_pack
from vaultwatch.rules.compiling.correlations import INNER_KEYS
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.pack import CompiledRule, Rule, decode_pack

ROOT = Path(__file__).parents[3]
PATH = "selection:\n  request.path: {}\ncondition: selection"
COUNT: dict[str, Any] = {
    "type": "event_count",
    "rules": ["reads"],
    "group-by": ["auth.entity_id"],
    "timespan": "10m",
    "condition": {"gte": 5},
}
VALUES = COUNT | {"type": "value_count", "condition": {"gte": 5, "field": "request.path"}}
BOTH = COUNT | {"type": "temporal", "rules": ["reads", "writes"]}
NOTHING = COUNT | {"group-by": ["cluster"], "condition": {"lt": 1}}
READS_ID = "38a8a493-ea9b-4a98-ba52-b9b00f6ac7db"


def compiled(folder: Path, correlation: Any = None, **keys: Any) -> dict[str, CompiledRule]:
    """Compile a correlation named `many`, with two rules for the audit log and one for the server log."""
    found = {"title": "Many", "name": "many", "level": "high", "correlation": correlation or COUNT, **keys}
    (folder / "many.yml").write_text(yaml.safe_dump(found))
    (folder / "reads.yml").write_text(sigma(PATH.format("a"), "reads", more=f"id: {READS_ID}\n"))
    (folder / "writes.yml").write_text(sigma(PATH.format("b"), "writes"))
    (folder / "logged.yml").write_text(sigma("selection:\n  message: a\ncondition: selection", "logged", "server"))
    return {rule.name: rule for rule in compile_directories([folder])}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in COUNT.items() if name != key}


def test_a_correlation_is_a_rule_of_the_log_of_its_rules(tmp_path: Path) -> None:
    found = compiled(tmp_path, status="experimental", runbook="Ask.", window="1h", description="Why.")["many"]
    assert (found.service, found.staged, found.runbook, found.window_seconds) == ("audit", True, "Ask.", 3600)
    assert found.group_by == ("auth.entity_id",)
    assert found.correlation
    assert (found.correlation.rules, found.correlation.timespan_seconds) == (("reads",), 600)
    assert not Rule(found).matches({"type": "request", "request": {"path": "a"}})


@pytest.mark.parametrize(
    ("correlation", "threshold", "fields"),
    [
        (COUNT, 5, ()),
        (COUNT | {"condition": {"gt": 5}}, 6, ()),
        (VALUES, 5, ("request.path",)),
        (VALUES | {"condition": {"gte": 5, "field": ["request.path", "auth.entity_id"]}}, 5,
         ("request.path", "auth.entity_id")),
        (BOTH | {"condition": {"gte": 1}}, 1, ()),
        ({key: value for key, value in BOTH.items() if key != "condition"}, 2, ()),
        ({key: value for key, value in BOTH.items() if key != "condition"} | {"type": "temporal_ordered"}, 2, ()),
    ],
)  # fmt: skip
def test_the_threshold_and_what_is_counted(
    correlation: dict[str, Any], threshold: int, fields: tuple[str, ...], tmp_path: Path
) -> None:
    found = compiled(tmp_path, correlation)["many"].correlation
    assert found
    assert (found.threshold, found.fields) == (threshold, fields)


@pytest.mark.parametrize(("timespan", "seconds"), [("30s", 30), ("15m", 900), ("2h", 7200), ("7d", 604_800)])
def test_timespans(timespan: str, seconds: int, tmp_path: Path) -> None:
    found = compiled(tmp_path, COUNT | {"timespan": timespan})["many"].correlation
    assert found
    assert found.timespan_seconds == seconds


def test_rules_are_named_by_name_or_id(tmp_path: Path) -> None:
    found = compiled(tmp_path, COUNT | {"rules": READS_ID})["many"].correlation
    assert found
    assert found.rules == ("reads",)


def test_base_rules_are_silent_unless_a_correlation_generates(tmp_path: Path) -> None:
    for generate, silent in ((False, {"reads"}), (True, set())):
        rules = compiled(tmp_path, COUNT | {"generate": generate}).values()
        assert Correlations((one, one.correlation) for one in rules if one.correlation).silent == silent


def test_an_alias_stands_for_a_field_of_each_rule(tmp_path: Path) -> None:
    aliases = {"who": {"reads": "auth.entity_id", "writes": "auth.display_name"}}
    rules = compiled(tmp_path, BOTH | {"condition": {"gte": 2}, "aliases": aliases, "group-by": ["who"]}).values()
    found = Correlations((one, one.correlation) for one in rules if one.correlation)
    assert found.fields == {"reads": {"auth.entity_id"}, "writes": {"auth.display_name"}}


def test_a_pack_carries_correlations_and_its_digest_covers_them(tmp_path: Path) -> None:
    digests = set()
    for least in (5, 6):
        found = compiled(tmp_path, COUNT | {"condition": {"gte": least}})["many"]
        (rule,) = (one for one in decode_pack(compile_pack([tmp_path])) if one.name == "many")
        assert rule.compiled == found
        digests.add(rule.digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("correlation", "error"),
    [
        ("reads", "correlation"),
        (COUNT | {"typo": 1}, "unknown key typo"),
        (COUNT | {"type": "value_sum", "condition": {"gte": 5, "field": "request.path"}}, "type value_sum"),
        (
            BOTH | {"type": "temporal_ordered", "condition": {"gte": 1}},
            "all of 2 to 16 rules have to match, not 1 of 2",
        ),
        (BOTH | {"type": "temporal_ordered", "rules": ["reads"], "condition": {"gte": 1}}, "all of 2 to 16 rules"),
        (COUNT | {"type": "events"}, "events"),
        (COUNT | {"rules": ["read"]}, "no rule read has a condition to count; did you mean `reads`?"),
        (COUNT | {"rules": ["many"]}, "no rule many has a condition to count"),
        (COUNT | {"rules": ["reads", "reads"]}, "one of them twice"),
        (COUNT | {"rules": []}, "no rules"),
        (COUNT | {"rules": ["reads", "logged"]}, "different logs"),
        (COUNT | {"group-by": ["auth.entity"]}, "unknown field auth.entity"),
        (COUNT | {"rules": ["logged"]}, "unknown field auth.entity_id: no server record has it"),
        (VALUES | {"condition": {"gte": 5, "field": "request.paths"}}, "unknown field request.paths"),
        (VALUES | {"condition": {"gte": 5}}, "without field reference"),
        (COUNT | {"condition": {"gte": 5, "field": "request.path"}}, "only value_count has a field"),
        (COUNT | {"condition": {"lt": 5}}, "a count can only grow"),
        (COUNT | {"condition": {"eq": 5}}, "a count can only grow"),
        (VALUES | {"condition": {"lt": 1, "field": "request.path"}}, "a count can only grow"),
        (COUNT | {"condition": {"lt": 1}}, "condition lt: 1 takes group-by cluster, node or both"),
        (NOTHING | {"timespan": "31d"}, "longer than 2592000 s"),
        (COUNT | {"condition": {"gte": 5, "lt": 9}}, "exactly one"),
        (COUNT | {"condition": {"gte": 0}}, "not between 1 and 1000"),
        (COUNT | {"condition": {"gt": 1000}}, "not between 1 and 1000"),
        (COUNT | {"condition": {"gte": 1.5}}, "not a whole number"),
        (BOTH | {"condition": {"gte": 3}}, "not between 1 and 2"),
        (BOTH | {"condition": "reads and not writes"}, "unsupported condition"),
        (COUNT | {"timespan": "10"}, "10"),
        (COUNT | {"timespan": "8d"}, "longer than"),
        (without("timespan"), "timespan"),
        (without("condition"), "condition"),
        (BOTH | {"condition": {"gte": 2}, "aliases": {"who": {"reads": "auth.entity_id"}}}, "each of the rules"),
    ],
)
def test_what_is_refused(correlation: Any, error: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError) as found:
        compiled(tmp_path, correlation)
    assert str(found.value).partition("/")[2].startswith("many.yml: ")
    assert error in str(found.value)


@pytest.mark.parametrize("group_by", [[], ["cluster"], ["cluster", "node"]])
def test_fewer_than_one_is_an_absence(group_by: list[str], tmp_path: Path) -> None:
    found = compiled(tmp_path, NOTHING | {"group-by": group_by, "timespan": "26h"})["many"].correlation
    assert found
    assert (found.type, found.threshold, found.group_by) == ("absence", 0, tuple(group_by))
    assert found.timespan_seconds == 26 * 3600


def test_an_absence_cannot_be_seen_for_the_first_time(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="neither aliases nor first-seen"):
        compiled(tmp_path, NOTHING, **{"first-seen": True})


ONE = COUNT | {"condition": {"gte": 1}}


def test_a_correlation_can_learn_which_groups_there_are(tmp_path: Path) -> None:
    found = compiled(tmp_path, ONE | {"timespan": "30d"}, **{"first-seen": True})["many"].correlation
    assert found
    assert (found.type, found.timespan_seconds, found.group_by) == ("first_seen", 30 * 86_400, ("auth.entity_id",))
    assert (
        not (plain := compiled(tmp_path, ONE, **{"first-seen": False})["many"].correlation) or plain.type != found.type
    )


@pytest.mark.parametrize(
    ("correlation", "value", "error"),
    [
        (COUNT, True, "first-seen takes type event_count, condition gte: 1, and group-by"),
        (VALUES | {"condition": {"gte": 1, "field": "request.path"}}, True, "first-seen takes type event_count"),
        ({key: value for key, value in ONE.items() if key != "group-by"}, True, "first-seen takes type event_count"),
        (ONE, "7d", "first-seen takes true or false"),
        (ONE | {"timespan": "31d"}, True, "longer than 2592000 s"),
    ],
)
def test_what_cannot_learn_is_refused(correlation: Any, value: Any, error: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError) as found:
        compiled(tmp_path, correlation, **{"first-seen": value})
    assert error in str(found.value)


@pytest.mark.parametrize("key", ["detection", "logsource", "denied", "group-by"])
def test_keys_that_make_no_sense_beside_a_count_are_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=f"many.yml: unknown key {key}"):
        compiled(tmp_path, **{key: {"a": "b"}})


def test_its_name_belongs_to_no_other_rule(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "many.yml").write_text(sigma(PATH.format("a"), "many"))
    with pytest.raises(RuleError, match="a second rule named many"):
        compiled(tmp_path)


def test_the_example_in_the_documentation_compiles_with_the_shipped_rules(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "correlations.md").read_text()
    example = "".join(line[4:] + "\n" for line in page.splitlines() if line.startswith("    "))
    (tmp_path / "audit_policies_written_in_bulk.yml").write_text(example)
    found = {rule.name: rule for rule in compile_directories([ROOT / "rules", tmp_path])}
    assert found["audit_policies_written_in_bulk"].correlation
    assert set(re.findall(r"(?m)^\| `([a-z-]+)` \|", page)) - {"check", "watch"} == INNER_KEYS
