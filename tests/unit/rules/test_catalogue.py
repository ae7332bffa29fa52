"""The catalogue: a page for each shipped rule, and the table of levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.cli import main
from vaultwatch.cli.rule_catalogue import INDEX, pages
from vaultwatch.cli.rule_pages import MEANING, Records
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "rules"


def test_the_pages_are_those_of_the_shipped_rules() -> None:
    """If this fails: vaultwatch rules catalogue -o docs/rules."""
    written = {path.name: path.read_text("utf-8") for path in PAGES.iterdir()}
    assert written == dict(pages([ROOT / "rules"]))
    assert written.keys() == {INDEX, *(f"{rule.name}.md" for rule in shipped_rules())}


def test_every_rule_is_in_the_table_of_its_level() -> None:
    parts = (PAGES / INDEX).read_text().split("\n## ")[1:]
    listed = {part.partition("\n")[0]: part for part in parts}
    assert list(listed) == [level for level in MEANING if level in listed]
    for rule in shipped_rules():
        assert f"[{rule.name}]({rule.name}.md)" in listed[rule.compiled.level]
    assert set(MEANING) == set(Level)


def test_every_rule_that_notifies_says_what_to_do_and_what_it_was_tested_on() -> None:
    for rule in shipped_rules():
        page = (PAGES / f"{rule.name}.md").read_text()
        assert rule.compiled.level is Level.INFORMATIONAL or "\n## What to do first\n\n- " in page
        assert "Records that it must match: 0" not in page


def test_composed_records_are_counted_apart() -> None:
    assert str(Records.of([b'{"request":{"id":"composed-1"}}', b"{}", b""])) == "2 (1 composed from recorded entries)"
    assert str(Records.of([b"{}"])) == "1"


def test_a_text_of_a_rule_is_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "<img src=x> [a](javascript:b) *c* _d_ `e` | f_g"
    text = sigma("s: {request.path: sys/seal}\ncondition: s", name="own", more=f"falsepositives: ['{evil}']\n")
    (tmp_path / "own.yml").write_text(text)
    assert main(["rules", "catalogue", str(tmp_path), "-o", str(tmp_path / "pages")]) == 0
    page = (tmp_path / "pages" / "own.md").read_text()
    assert r"- \<img src=x\> \[a\](javascript:b) \*c\* \_d\_ \`e\` \| f_g" in page.splitlines()
    assert capsys.readouterr().out == f"{tmp_path}/pages: 2 pages\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["rules", "catalogue", str(ROOT / "rules"), "-o", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"vaultwatch: --output: {tmp_path}/file: File exists\n"
