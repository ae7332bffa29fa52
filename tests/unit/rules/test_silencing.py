"""What a folder silences of its rules and of the shipped ones shows, whatever else it changes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.unit.rules.test_differences import SHIPPED
from vaultwatch.rules.compiling.silencing import compared
from vaultwatch.rules.differences import differences

ROOT = Path(__file__).parents[3]
NAME = "audit_device_disabled"
FILTER = """title: Nothing of it
logsource: {product: vault, service: audit}
filter:
  rules: [audit_device_disabled]
  nothing: {request.path|contains: /}
  condition: not nothing
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped rules, without their fixtures."""
    folder = tmp_path_factory.mktemp("rules")
    return Path(shutil.copytree(ROOT / "rules", folder, ignore=shutil.ignore_patterns("fixtures"), dirs_exist_ok=True))


@pytest.fixture
def rules(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path, dirs_exist_ok=True))


def said(rules: Path) -> list[str]:
    return list(differences(*compared(rules, SHIPPED)))


def test_values_of_placeholders_silence_nothing(rules: Path) -> None:
    (rules / "placeholders.yaml").write_text((rules / "placeholders.yaml").read_text().replace("- prod/", "- live/"))
    assert said(rules) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("enabled: false", "not used"),
        ("staged: true", "used at a lower level, staged or with another window"),
        ("level: low", "used at a lower level, staged or with another window"),
        ("window: 7d", "used at a lower level, staged or with another window"),
    ],
)
def test_an_override_is_named(rules: Path, changes: str, expected: str) -> None:
    (rules / "overrides.yml").write_text(f"{NAME}:\n  {changes}\n")
    assert said(rules) == [f"1 shipped rule is {expected}: {NAME}"]


def test_a_filter_is_named(rules: Path) -> None:
    (rules / "mine.yml").write_text(FILTER)
    assert said(rules) == [f"1 shipped rule is used with another condition (filters: {rules.name}/mine.yml): {NAME}"]


def test_a_file_that_is_edited_or_missing_is_named(rules: Path) -> None:
    edited = rules / f"{NAME}.yml"
    edited.write_text(edited.read_text().replace("sys/audit/", "sys/none/").replace("level: critical", "level: low"))
    (rules / "audit_device_weak.yml").unlink()
    assert said(rules) == [
        "1 shipped rule is not used: audit_device_weak",
        f"1 shipped rule is used with another condition: {NAME}",
        f"1 shipped rule is used at a lower level, staged or with another window: {NAME}",
    ]


@pytest.mark.parametrize("never", ["{request.path|expand: '%nobody%'}", "{request.path: x}"])
def test_an_edited_condition_is_named_in_a_rule_with_placeholders_whatever_their_values(
    rules: Path, never: str
) -> None:
    name, values = "audit_emergency_path_used", rules / "placeholders.yaml"
    values.write_text(values.read_text().replace("- emergency-only", "- live") + "nobody: []\n")
    edited = rules / f"{name}.yml"
    text, condition = edited.read_text(), "  condition: engine and"
    edited.write_text(text.replace(condition, f"  never: {never}\n{condition} never and", 1))
    assert said(rules) == [f"1 shipped rule is used with another condition: {name}"]


def test_so_is_what_silences_a_rule_that_is_not_shipped(rules: Path) -> None:
    mine = re.sub("(?m)^id: .*", "", (rules / f"{NAME}.yml").read_text()).replace(NAME, "audit_mine")
    (rules / "audit_mine.yml").write_text(mine)
    assert said(rules) == []
    (rules / "overrides.yml").write_text("audit_mine:\n  enabled: false\n")
    assert said(rules) == ["1 shipped rule is not used: audit_mine"]
