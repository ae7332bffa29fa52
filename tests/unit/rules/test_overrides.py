"""overrides.yml changes what people see of a rule, and never what it matches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.alerts import title_and_level
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import compile_directories, compile_pack
from vaultwatch.rules.pack import CompiledRule, Rule, decode_pack

DETECTION = "s: {request.path: a}\ncondition: s"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rule", "second"):
        (tmp_path / f"{name}.yml").write_text(sigma(DETECTION, name))
    return tmp_path


def overridden(folder: Path, text: str) -> dict[str, CompiledRule]:
    (folder / "overrides.yml").write_text(text)
    return {rule.name: rule for rule in compile_directories([folder])}


def test_level_title_runbook_window_and_staging_are_changed_and_nothing_else(folder: Path) -> None:
    before = {rule.name: rule for rule in compile_directories([folder])}
    rules = overridden(
        folder, "rule:\n  level: critical\n  title: Other\n  runbook: |\n    Call.\n  window: 2h\n  staged: true\n"
    )
    rule = rules["rule"]
    assert (rule.level, rule.title, rule.runbook, rule.window_seconds, rule.staged) == (
        "critical", "Other", "Call.", 7200, True)  # fmt: skip
    assert rule.overridden == ("level", "runbook", "staged", "title", "window")
    assert Rule(rule).digest == Rule(before["rule"]).digest
    assert rules["second"] == before["second"]


def test_a_level_holds_for_denied_requests_unless_the_rule_has_one_for_them(folder: Path) -> None:
    (folder / "rule.yml").write_text(sigma(DETECTION, "rule") + "\ndenied: {title: Denied}\n")
    (folder / "second.yml").write_text(sigma(DETECTION, "second") + "\ndenied: {title: Denied, level: high}\n")
    rules = overridden(folder, "rule: {level: critical}\nsecond: {level: low}")
    found = [title_and_level(rules[name], "failed", "permission denied") for name in ("rule", "second")]
    assert found == [("Denied", "critical"), ("Denied", "high")]


def test_a_rule_that_is_disabled_is_not_in_the_pack(folder: Path) -> None:
    assert overridden(folder, "rule: {enabled: false}").keys() == {"second"}
    assert [rule.name for rule in decode_pack(compile_pack([folder]))] == ["second"]


def test_a_later_folder_wins_key_by_key(folder: Path) -> None:
    overridden(folder, "rule: {level: high, window: 5m}\nsecond: {enabled: false}")
    later = folder / "fixtures"  # not read as part of the first folder
    later.mkdir()
    (later / "overrides.yml").write_text("rule: {level: medium}\nsecond: {enabled: true}")
    rules = {rule.name: rule for rule in compile_directories([folder, later])}
    assert (rules["rule"].level, rules["rule"].window_seconds, "second" in rules) == ("medium", 300, True)


def test_a_level_is_named_in_any_case(folder: Path) -> None:
    assert overridden(folder, "rule: {level: CRITICAL}")["rule"].level == "critical"


def test_an_empty_file_changes_nothing(folder: Path) -> None:
    assert not any(rule.overridden for rule in overridden(folder, "# nothing\n").values())


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("rul: {level: low}", "overrides.yml, line 1: changes an unknown rule rul; did you mean `rule`?"),
        ("audit_device_disabled: {level: low}", "rule audit_device_disabled: it is a shipped rule, so name `shipped`"),
        ("rule: {levl: low}", "overrides.yml, line 1: rule: unknown key levl; did you mean `level`?"),
        ("second: {}\nrule: {level: lower}", "line 2: rule: unknown level lower: not one of informational, low,"),
        ("rule: {window: soon}", "overrides.yml, line 1: rule: window soon is not a time"),
        ("rule: {title: [a]}", "overrides.yml, line 1: rule: Expected `str | null`"),
        ('rule: {title: "\u202e"}', "overrides.yml, line 1: rule: the title has characters that are not visible"),
        (
            "rule: {title: \u0410udit}",
            "overrides.yml, line 1: rule: the title has a word with letters of several scripts",
        ),
        ("rule: {enabled: no}", "overrides.yml, line 1: rule: enabled is true or false, not no"),
        ("rule: low", "overrides.yml: not one mapping of rules"),
        ("[rule]", "overrides.yml: not one mapping of rules"),
        ("a: {}\n---\nb: {}", "overrides.yml: not one mapping of rules"),
        ("a: [", "overrides.yml, line 1: not YAML"),
    ],
)
def test_what_is_wrong_is_refused_by_name(text: str, reported: str, folder: Path) -> None:
    with pytest.raises(RuleError) as refused:
        overridden(folder, text)
    assert reported in str(refused.value)


def test_a_file_that_would_be_ignored_is_refused(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "overrides.yml").write_text("rule: {level: low}")
    with pytest.raises(RuleError, match=r"overrides are read from .*overrides\.yml only"):
        compile_directories([folder])


def test_a_rule_that_a_correlation_counts_cannot_be_disabled(folder: Path) -> None:
    (folder / "many.yml").write_text(
        "title: Many\nname: many\nlevel: low\ncorrelation:\n  type: event_count\n  rules: [rule]\n"
        "  group-by: [request.path]\n  timespan: 10m\n  condition: {gte: 10}\n"
    )
    with pytest.raises(RuleError, match=r"overrides\.yml, line 1: rule cannot be disabled, because many counts it"):
        overridden(folder, "rule: {enabled: false}")
    assert overridden(folder, "many: {level: high}")["many"].level == "high"
