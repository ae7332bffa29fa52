"""The coverage of public rules: docs/coverage.md is what the command writes, and each path raises its rules."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from vaultwatch.alerts import alert_of
from vaultwatch.cli import main
from vaultwatch.cli.rule_coverage import COVERAGE
from vaultwatch.cli.rule_coverage_file import Row, read_coverage
from vaultwatch.cli.rule_coverage_page import page
from vaultwatch.detection.detector import Detector
from vaultwatch.errors import RuleError, SettingError
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]
RULES = shipped_rules()
NAMES = [rule.name for rule in RULES]
PARTS = read_coverage(ROOT / "rules" / COVERAGE, NAMES)
ENTRY = {
    "time": "2026-11-29T00:00:00Z",
    "type": "response",
    "auth": {"display_name": "userpass-bob", "accessor": "a", "policies": ["ops"], "entity_id": "e"},
    "request": {"id": "r", "client_token": "hmac-sha256:00", "remote_address": "10.0.0.1"},
    "response": {},
}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        **{key: merged(one.get(key, {}), value) if isinstance(value, dict) else value for key, value in other.items()},
    }


def entry_of(row: Row) -> dict[str, Any]:
    operation, _, path = row.name.partition(" ")
    return merged(merged(ENTRY, {"request": {"operation": operation, "path": path}}), row.entry)


def test_the_page_is_what_the_command_writes() -> None:
    """If this fails: vaultwatch rules coverage -o docs/coverage.md."""
    assert (ROOT / "docs" / "coverage.md").read_text("utf-8") == page(PARTS, NAMES)


def test_an_entry_of_each_path_raises_the_rules_that_its_row_names_and_no_others() -> None:
    rows = [row for part in PARTS for row in part.rows if not row.source]
    assert len(rows) > 200
    entries = [merged(entry_of(row), {"request": {"id": str(number)}}) for number, row in enumerate(rows)]
    detector = Detector(RULES, source="audit", zone=UTC)
    verdicts = [*detector.feed([json.dumps(entry).encode() + b"\n" for entry in entries]), *detector.flush()]
    raised = {(alert.event_key, alert.rule) for alert in map(alert_of, verdicts)}
    for number, row in enumerate(rows):
        assert {rule for key, rule in raised if key == str(number)} == set(row.rules), row.name


def test_every_rule_that_a_public_one_is_answered_with_has_fixtures() -> None:
    named = {name for part in PARTS for row in part.rows for name in row.rules}
    for name in named:
        assert list((ROOT / "rules" / "fixtures" / name).glob("match.*")), name


def test_every_row_without_a_rule_says_why() -> None:
    assert all(row.rules or row.alarm or len(row.note) > 8 for part in PARTS for row in part.rows)
    assert all(len({row.name + str(row.entry) for row in part.rows}) == len(part.rows) for part in PARTS)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ('{ name = "x", rules = ["audit_nope"] }', SettingError),
        ('{ name = "x" }', RuleError),
        ('{ name = "x", other = 1 }', RuleError),
        ("{", RuleError),
    ],
)
def test_a_row_that_says_nothing_or_names_an_unknown_rule_is_refused(
    row: str, error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / COVERAGE).write_text(f'[[parts]]\ntitle = "t"\nrows = [{row}]\n')
    with pytest.raises(error):
        read_coverage(tmp_path / COVERAGE, NAMES)


def test_the_command_writes_the_page_or_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "coverage", "-o", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text() == page(PARTS, NAMES)
    assert main(["rules", "coverage", "-o", str(tmp_path)]) == 2
    assert "is not a regular file" in capsys.readouterr().err
