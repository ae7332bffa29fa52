"""Rules in Python: they are loaded from files, refused in one line, and get the same view as Sigma rules."""

from datetime import UTC
from pathlib import Path

import pytest

from vaultwatch.detection.detector import Detector
from vaultwatch.errors import RuleError
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.python_rules import load_python_rules

RULE = """
from vaultwatch.rules.python_rules import rule

@rule(title="T", level="high", service="audit", status="experimental", runbook="do", tags=("attack.t1",))
def audit_one(entry):
    return entry["request"]["path"] == "sys/seal"
"""
NAMELESS = """
def one(entry): return True
one.__name__ = "audit_one\\nother"
rule(title="T", level="high", service="audit")(one)
"""
LINE = b'{"time":"2026-11-21T07:29:41Z","type":"request","request":{"id":"r","path":"sys/seal"}}'


def load(folder: Path, **files: str) -> list[Rule]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return load_python_rules([folder])


def test_a_function_is_a_rule_under_its_own_name(tmp_path: Path) -> None:
    (rule,) = load(tmp_path, one=RULE)
    facts = rule.compiled
    assert (rule.name, rule.service, facts.title, facts.level) == ("audit_one", "audit", "T", Level.HIGH)
    assert (facts.staged, facts.runbook, facts.tags) == (True, "do", ("attack.t1",))
    detector = Detector([rule])
    assert [verdict.rule.name for verdict in detector.feed([LINE]) + detector.flush()] == ["audit_one"]


def test_a_file_may_define_several_rules_or_none(tmp_path: Path) -> None:
    found = load(tmp_path, b=RULE.replace("audit_one", "b1") + RULE.replace("audit_one", "b2"), a="x = 1", c=RULE)
    assert [rule.name for rule in found] == ["b1", "b2", "audit_one"]


def test_its_digest_is_that_of_its_file(tmp_path: Path) -> None:
    (before,), (again,) = load(tmp_path, one=RULE), load(tmp_path, one=RULE)
    (after,) = load(tmp_path, one=RULE.replace("sys/seal", "sys/unseal"))
    assert before.digest == again.digest != after.digest


def test_any_value_counts_as_true_or_false(tmp_path: Path) -> None:
    rules = load(
        tmp_path, a=RULE.replace('== "sys/seal"', "and []"), b=RULE.replace("_one", "_two").replace("==", "or")
    )
    detector = Detector(rules)
    assert [verdict.rule.name for verdict in detector.feed([LINE]) + detector.flush()] == ["audit_two"]


def test_it_gets_the_local_time_even_if_no_other_rule_uses_it(tmp_path: Path) -> None:
    asks = RULE.replace('["request"]["path"] == "sys/seal"', '["local"] == {"hour": 7, "weekday": 6}')
    detector = Detector(load(tmp_path, one=asks), zone=UTC)
    assert len(detector.feed([LINE]) + detector.flush()) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("syntax error", r"SyntaxError: invalid syntax \(line 1\)\Z"),
        ("raise ValueError('broken\\nhere')", "ValueError: broken"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("\0", "null bytes"),
        (RULE.replace('"high"', '"urgent"'), "audit_one: unknown level"),
        (RULE.replace('"high"', "['high']"), "audit_one: unknown level"),
        (RULE.replace('"audit"', '"policy"'), "audit_one: unknown level, service"),
        (RULE.replace('"experimental"', '"draft"'), "audit_one: unknown level, service or status"),
        (RULE.replace("runbook", "nonsense"), "audit_one: .*nonsense"),
        (RULE.replace('title="T", ', ""), "title"),
        (RULE.replace('"T"', '"T\\nCritical: all is well"'), "audit_one: .* title has .* more than one line"),
        (RULE.replace('"T"', '"T\u202etxt"'), "audit_one: .*not visible"),
        (RULE.replace('"T"', '"\u0410lert"'), "audit_one: .*several scripts"),
        (RULE.replace('"T"', "5"), "audit_one: the title is no text"),
        (RULE.replace("runbook", "denied_title").replace('"do"', '"\u0410lert"'), "audit_one: denied_title: .*scripts"),
        (RULE.replace("runbook", "unanswered_title").replace('"do"', '"a\\n"'), "audit_one: unanswered_title: .*line"),
        (RULE.replace("runbook", "denied_level").replace('"do"', '"urgent"'), "audit_one: unknown level"),
        (RULE.replace("audit_one", "audit_\u043ene"), "letters beyond ASCII"),
        ("from vaultwatch.rules.python_rules import rule\n" + NAMELESS, "characters that are not visible"),
        (RULE + RULE, "a second rule named audit_one"),
    ],
)
def test_a_broken_file_is_refused_by_name(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=rf"(?s)\A{tmp_path.name}/one\.py: .*{why}"):
        load(tmp_path, one=text)


def test_a_broken_file_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine" / "kv").mkdir(parents=True)
    (tmp_path / "mine" / "kv" / "one.py").write_text("1 / 0")
    with pytest.raises(RuleError, match=r"\Amine/kv/one\.py: ZeroDivisionError"):
        load_python_rules([tmp_path / "mine"])


def test_a_name_that_a_sigma_rule_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(RULE)
    with pytest.raises(RuleError, match="a second rule named audit_one"):
        load_python_rules([tmp_path], taken={"audit_one"})


def test_rules_of_a_broken_file_are_not_left_for_the_next_one(tmp_path: Path) -> None:
    with pytest.raises(RuleError):
        load(tmp_path, one=RULE + "\n1 / 0")
    (tmp_path / "one.py").write_text("")
    assert load_python_rules([tmp_path]) == []
