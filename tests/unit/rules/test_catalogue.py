"""The catalogue: a page for each shipped rule, and the table of levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.cli import main
from vaultwatch.cli.rule_catalogue import INDEX, pages
from vaultwatch.cli.rule_pages import MEANING, why
from vaultwatch.cli.rule_provenance import RECORDED, digest, origins, recorded_lines
from vaultwatch.errors import RuleError
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, shipped_rules

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
        assert "Records that it must match: none" not in page


def test_the_table_says_why() -> None:
    assert why(described("It was cut (v1.2 too). All is lost. Check it.")) == "All is lost."
    assert why(described("It was cut.")) == "It was cut."
    index = (PAGES / INDEX).read_text()
    for rule in shipped_rules():
        assert why(rule.compiled)[:20] in index.replace("\\", "")


def described(text: str) -> CompiledRule:
    return CompiledRule(name="x", title="X", level=Level.LOW, service="audit", condition=Never(), description=text)


def test_a_record_is_recorded_or_composed(tmp_path: Path) -> None:
    (tmp_path / "fixtures" / "x").mkdir(parents=True)
    (tmp_path / "fixtures" / "x" / "match.log").write_bytes(b"a\r\nb\n\nc\n")
    (tmp_path / RECORDED).write_text(f"{digest(b'a')} vault-1\n{digest(b'b')} bao-2\n")
    found = origins("x", "match", [tmp_path], recorded_lines([tmp_path]))
    assert str(found) == "recorded: 1 bao-2, 1 vault-1, 1 composed"
    assert str(origins("x", "ignore", [tmp_path], {})) == "none"


def test_the_list_of_recorded_lines_names_only_fixtures() -> None:
    files = [path for path in (ROOT / "rules" / "fixtures").glob("*/*") if path.suffix in (".jsonl", ".log")]
    lines = {digest(line) for path in files for line in path.read_bytes().splitlines()}
    assert recorded_lines([ROOT / "rules"]).keys() <= lines


def test_a_broken_list_of_recorded_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / RECORDED).write_text("0123\n")
    with pytest.raises(RuleError, match="not a digest and a product"):
        recorded_lines([tmp_path])


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
