"""Which files below a folder are rules: subfolders too, any case of the suffix, nothing hidden, no fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.cli.common import load_rules
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling.documents import read_placeholders
from vaultwatch.rules.files import rule_files

RULE = "selection: {request.path: a}\ncondition: selection"
PYTHON = """
from vaultwatch.rules.python_rules import rule

@rule(title="Odd", level="low", service="audit")
def NAME(entry):
    return False
"""


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            PYTHON.replace("NAME", path.stem) if name.lower().endswith("py") else sigma(RULE, name=path.stem)
        )


def names(folder: Path) -> list[str]:
    return [rule.name for rule in load_rules([folder])]


def test_subfolders_are_read_sorted_and_after_the_files_beside_them(tmp_path: Path) -> None:
    write(tmp_path, "b.yml", "kv/d.yaml", "a.YML", "kv/deep/e.Yaml", "auth/c.yml", "kv/f.py", "g.PY")
    assert names(tmp_path) == ["a", "b", "c", "d", "e", "g", "f"]


def test_hidden_files_and_folders_and_fixtures_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "kv/fixtures/b/c.yml", "fixtures/a/d.yml", ".git/e.yml", ".hidden.yml", ".venv/f.py")
    (tmp_path / "._a.yml").write_bytes(b"\0\5\x16\7 what macOS leaves beside a.yml")
    (tmp_path / "README.md").write_text("not a rule")
    assert names(tmp_path) == ["a"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path, "mine/a.yml", "elsewhere/b.yml")
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "mine")
    assert [path.name for path in rule_files(tmp_path / "mine", {".yml"})] == ["a.yml", "b.yml"]


def test_a_broken_rule_in_a_subfolder_is_named_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "kv/a.yml")
    (tmp_path / "kv" / "b.yml").write_text("a: [")
    with pytest.raises(RuleError, match=rf"{tmp_path.name}/kv/b.yml, line 1: not YAML"):
        load_rules([tmp_path])


@pytest.mark.parametrize("name", ["kv/placeholders.yml", "kv/placeholders.yaml", "Placeholders.yml"])
def test_placeholders_that_would_not_be_read_are_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "kv/b.yml")
    (tmp_path / name).write_text("x: [1]\n")
    with pytest.raises(RuleError, match=rf"{name}: placeholders are read from .*/placeholders.yaml only"):
        load_rules([tmp_path])


def test_placeholders_are_read_from_either_name_but_not_from_both(tmp_path: Path) -> None:
    write(tmp_path, "a.yml")
    (tmp_path / "placeholders.yml").write_text("x: [1]\n")
    assert read_placeholders(tmp_path) == {"x": [1]}
    (tmp_path / "placeholders.yaml").write_text("x: [2]\n")
    with pytest.raises(RuleError, match=r"both placeholders.yaml and placeholders.yml: keep one"):
        load_rules([tmp_path])
    (tmp_path / "placeholders.yml").unlink()
    assert read_placeholders(tmp_path) == {"x": [2]}


def test_a_second_document_of_placeholders_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.yml")
    (tmp_path / "placeholders.yml").write_text("x: [1]\n---\ny: [1]\n")
    with pytest.raises(RuleError, match=r"placeholders.yml: more than one document"):
        load_rules([tmp_path])


def test_names_of_rules_are_unique_across_subfolders(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "kv/a.yml")
    with pytest.raises(RuleError, match=r"kv/a.yml: a second rule named a; the first is .*/a.yml"):
        load_rules([tmp_path])
    (tmp_path / "a.yml").unlink()
    write(tmp_path, "auth/a.py")
    with pytest.raises(RuleError, match=r"a.py: a second rule named a"):
        load_rules([tmp_path])
