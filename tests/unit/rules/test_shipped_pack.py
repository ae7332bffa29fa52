"""The pack that ships is what rules/ says, and every rule in it holds against its fixtures."""

from __future__ import annotations

from pathlib import Path

from vaultwatch.cli.rule_fixtures import failures
from vaultwatch.rules.compiling import compile_pack
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]
RULES = ROOT / "rules"


def test_the_pack_is_byte_for_byte_what_the_rules_compile_to() -> None:
    """Else: vaultwatch rules compile -o vaultwatch/rules/pack.json"""
    assert (ROOT / "vaultwatch" / "rules" / "pack.json").read_bytes() == compile_pack([RULES])


def test_every_rule_is_a_file_of_its_own_name_with_fixtures_of_both_kinds() -> None:
    names = sorted(rule.name for rule in shipped_rules())
    assert names == sorted(path.stem for path in RULES.glob("*.yml") if path.stem != "placeholders")
    assert names == sorted(path.name for path in (RULES / "fixtures").iterdir())
    for name in names:
        kinds = {path.stem for path in (RULES / "fixtures" / name).iterdir()}
        assert {"match", "ignore"} <= kinds, name


def test_every_rule_raises_on_what_it_should_and_on_nothing_else() -> None:
    assert failures([RULES]) == (len(shipped_rules()), [])
