"""`vaultwatch rules`: what it prints about the rules, and that it finds a broken one before it runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from vaultwatch.cli import main
from vaultwatch.rules.pack import shipped_rules

RULES = Path(__file__).parents[3] / "rules"
SIGMA = """
title: Seal
id: 496eae56-1891-52a9-adf4-89367c794ce1
name: seal
status: test
description: d
logsource: {product: vault, service: audit}
detection:
  selection: {request.path: sys/seal}
  condition: selection
falsepositives: [none]
level: high
"""
PYTHON = """
from vaultwatch.rules.python_rules import rule

@rule(title="Odd", level="low", service="audit")
def odd(entry):
    return entry["request"]["path"] == "odd"
"""


def line(path: str) -> str:
    fields = {"time": "2026-11-21T07:00:00Z", "type": "request", "request": {"id": path, "path": path}}
    return json.dumps(fields) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rules that pass: one in Sigma, one in Python."""
    folder = tmp_path / "mine"
    for name, path in (("seal", "sys/seal"), ("odd", "odd")):
        fixtures = folder / "fixtures" / name
        fixtures.mkdir(parents=True)
        (fixtures / "match.jsonl").write_text(line(path))
        (fixtures / "ignore.jsonl").write_text(line("kv/x"))
    (folder / "seal.yml").write_text(SIGMA)
    (folder / "odd.py").write_text(PYTHON)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `vaultwatch rules` with these arguments."""
    status = main(["rules", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


class TestList:
    def test_the_table_has_a_line_for_each_shipped_rule(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, "list")
        assert (status, err) == (0, "")
        assert [text.split()[0] for text in out.splitlines()] == sorted(rule.name for rule in shipped_rules())
        assert "audit_access_outside_hours" in "".join(text for text in out.splitlines() if "staged" in text)

    def test_json_has_the_facts_of_each_rule_and_not_its_condition(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = run(capsys, "list", "--format", "json")
        facts = [json.loads(text) for text in out.splitlines()]
        assert status == 0
        assert len(facts) == len(shipped_rules())
        assert all({"name", "title", "level", "service", "description"} <= fact.keys() for fact in facts)
        assert not any("condition" in fact for fact in facts)

    def test_a_folder_with_the_name_of_the_shipped_rules_has_a_path(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder.rename(folder.with_name("shipped"))
        monkeypatch.chdir(folder.parent)
        assert len(run(capsys, "list", "--rules", "./shipped")[1].splitlines()) == 2
        assert len(run(capsys, "list", "--rules", "shipped")[1].splitlines()) == len(shipped_rules())

    def test_other_folders_replace_the_shipped_rules(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(capsys, "list", "--rules", folder)[1].split() == ["odd", "low", "Odd", "seal", "high", "Seal"]


class TestTuned:
    """What is changed in a rule, or silenced, shows."""

    FILTER = (
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter: {rules: [seal], ours: {request.id: sys/seal}, condition: not ours}\n"
    )

    def test_the_list_names_overrides_filters_and_disabled_rules(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "calm.yml").write_text(self.FILTER)
        (folder / "other.yml").write_text(SIGMA.replace("name: seal", "name: other").replace("496eae56", "496eae57"))
        (folder / "overrides.yml").write_text("seal: {level: low, window: 4h, staged: true}\nother: {enabled: false}\n")
        out = run(capsys, "list", "--rules", folder)[1].splitlines()
        assert [text.split(None, 2)[:2] for text in out] == [["odd", "low"], ["seal", "low"], ["other", "-"]]
        assert out[1].endswith(
            "Seal  (staged: evaluated and stored, notifies nobody)  (overridden: level, staged, window)"
            "  (filtered by mine/calm.yml)"
        )
        assert out[2].endswith("(disabled by overrides.yml)")
        shown = run(capsys, "show", "seal", "--rules", folder)[1]
        assert "\nfilters          mine/calm.yml\noverridden       level\n                 staged\n" in shown

    def test_a_filter_that_silences_fixtures_is_named_and_fails_nothing(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "calm.yml").write_text(self.FILTER)
        assert run(capsys, "test", folder) == (
            0,
            "seal: 1 record of its fixtures is silenced by mine/calm.yml\n2 rules tested, 0 failed\n",
            "",
        )

    def test_a_fixture_that_fails_without_the_filter_too_fails(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "calm.yml").write_text(self.FILTER)
        (folder / "fixtures" / "seal" / "match.jsonl").write_text(line("sys/seal") + line("kv/x"))
        assert run(capsys, "test", folder) == (
            1,
            "seal: 1 record of its fixtures is silenced by mine/calm.yml\n2 rules tested, 1 failed\n",
            "seal: match.jsonl, line 2: the rule does not match\n",
        )


class TestShow:
    @pytest.mark.parametrize("name", [rule.name for rule in shipped_rules()])
    def test_every_shipped_rule_can_be_shown(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = run(capsys, "show", name)
        assert status == 0
        assert out.startswith(f"{name}: ")
        assert all(part in out for part in ("level ", "What to do first:", "false positives ", "Condition:"))

    def test_the_condition_in_use_is_shown_with_the_file_it_was_read_from(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = SIGMA.replace(
            "{request.path: sys/seal}", "{request.path|expand|startswith: ['%paths%', b], type: request}"
        )
        (folder / "seal.yml").write_text(text.replace("test", "experimental"))
        (folder / "placeholders.yml").write_text("paths: [sys/seal, 'x: y']\nunused: [1]\n")
        assert run(capsys, "show", "seal", "--rules", folder) == (
            0,
            f"""\
seal: Seal

d

file             {folder}/seal.yml
level            high (staged: evaluated and stored, notifies nobody)
reads            the audit log
false positives  none

Condition:
  request.path|startswith:
    - sys/seal
    - 'x: y'
    - b
  type: request

Placeholders in force:
  paths: [sys/seal, 'x: y']
""",
            "",
        )

    def test_what_a_rule_does_not_have_is_not_shown(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(capsys, "show", "odd", "--rules", folder)[1] == (
            f"odd: Odd\n\nfile             {folder}/odd.py\nlevel            low\nreads            the audit log\n\n"
            "Condition:\n  a function in Python\n"
        )

    def test_a_shipped_rule_is_found_in_the_checkout(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = run(capsys, "show", "audit_privileged_policy_used")[1]
        assert f"\nfile             {RULES / 'audit_privileged_policy_used.yml'}\n" in out
        assert out.endswith("\nCondition:\n  never\n\nPlaceholders in force:\n  privileged_policies: []\n")

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("audit_nope", ""),
            ("audit_policy_writen", "audit_policy_written"),
            ("policy_written", "audit_policy_written"),
        ],
    )
    def test_only_a_name_that_is_similar_is_suggested(
        self, name: str, hint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = run(capsys, "show", name)[2]
        assert f"; did you mean `{hint}`?" in said if hint else "did you mean" not in said

    def test_an_unknown_rule_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, "show", "nope")
        assert (status, out) == (2, "")
        assert err == (
            "vaultwatch: no rule named nope among the shipped ones (--rules DIR reads yours); "
            "`vaultwatch rules list` lists all of them\n"
        )


def test_the_help_of_each_command_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "--help")[1]
    assert out.count("\n  ") == 1 + 1 + 10 + 2  # description, option, commands, examples
    assert "..." not in out.partition("Commands:")[2]


class TestTest:
    def test_rules_that_pass(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(capsys, "test", folder) == (0, "2 rules tested, 0 failed\n", "")

    def test_a_value_that_no_record_has_fails_although_the_fixtures_pass(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "seal.yml").write_text(SIGMA.replace("request.path: sys/seal", "request.path: [sys/seal, /sys/seal]"))
        assert run(capsys, "test", folder) == (
            1,
            "2 rules tested, 1 failed\n",
            "seal: request.path: /sys/seal never matches: no path in the log begins with a slash: write `sys/seal`\n",
        )

    def test_a_warning_is_shown_and_does_not_fail(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "seal.yml").write_text(SIGMA.replace("  condition", "  unused: {type: request}\n  condition"))
        assert run(capsys, "test", folder) == (
            0,
            "2 rules tested, 0 failed, 1 warning\n",
            "seal: warning: the condition does not use the selection unused\n",
        )

    @pytest.mark.parametrize("name", ["seal", "odd"])
    @pytest.mark.parametrize(
        ("kind", "text", "fault"),
        [
            ("match", line("kv/x"), "match.jsonl, line 1: the rule does not match"),
            ("ignore", line("kv/x") * 2 + line("sys/seal") + line("odd"), "ignore.jsonl, line "),
            ("match", "nonsense\n", "match.jsonl, line 1: cannot be read: "),
            ("match", "", "no fixture match.jsonl or match.log with a record in it"),
            ("ignore", "\n\n", "no fixture ignore.jsonl or ignore.log with a record in it"),
        ],
    )
    def test_what_fails_is_named_with_its_line(
        self, folder: Path, name: str, kind: str, text: str, fault: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "fixtures" / name / f"{kind}.jsonl").write_text(text)
        status, out, err = run(capsys, "test", folder)
        assert status == 1
        assert any(text.startswith(f"{name}: ") and fault in text for text in err.splitlines())
        assert out == "2 rules tested, 1 failed\n"

    def test_a_rule_that_raises_on_a_fixture_is_reported(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "odd.py").write_text(PYTHON.replace('["path"]', '["path"]["x"]'))
        status, _, err = run(capsys, "test", folder)
        assert status == 1
        assert "odd: ignore.jsonl, line 1: the rule raised TypeError: " in err

    def test_fixtures_have_their_own_placeholders(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "seal.yml").write_text(SIGMA.replace("request.path: sys/seal", "request.path|expand: '%paths%'"))
        (folder / "placeholders.yml").write_text("paths: [elsewhere]\n")
        assert run(capsys, "test", folder)[0] == 1
        for name in ("seal", "odd"):  # a rule in Python uses none, and is not harmed by them
            (folder / "fixtures" / name / "placeholders.yml").write_text("paths: [sys/seal]\n")
        assert run(capsys, "test", folder) == (0, "2 rules tested, 0 failed\n", "")

    def test_a_rule_without_fixtures_fails(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shutil.rmtree(folder / "fixtures" / "odd")
        status, out, err = run(capsys, "test", folder)
        assert (status, out) == (1, "2 rules tested, 1 failed\n")
        assert err.startswith("odd: no fixtures: ")

    def test_a_fixture_that_cannot_be_read_is_one_line(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        match = folder / "fixtures" / "seal" / "match.jsonl"
        match.unlink()
        match.mkdir()
        assert run(capsys, "test", folder) == (2, "", f"vaultwatch: {match}: Is a directory\n")

    def test_without_a_folder_it_tests_the_one_here(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.rename(folder.with_name("rules"))
        monkeypatch.chdir(folder.parent)
        assert run(capsys, "test")[1] == "2 rules tested, 0 failed\n"

    def test_otherwise_it_tests_that_of_the_checkout(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run(capsys, "compile")[1].encode() == (RULES.parent / "vaultwatch/rules/pack.json").read_bytes()

    @pytest.mark.parametrize("verb", ["test", "compile"])
    def test_a_folder_without_rules_is_reported(
        self, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(capsys, verb, tmp_path) == (2, "", f"vaultwatch: no rule in {tmp_path}\n")


class TestExplainedTest:
    def test_a_record_that_should_match_is_shown_with_the_selection_that_failed(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        detection = "{request.path: sys/seal}\n  person: {auth.display_name|startswith: [ldap-, oidc-]}"
        (folder / "seal.yml").write_text(
            SIGMA.replace("{request.path: sys/seal}", detection).replace(": selection", ": selection and not person")
        )
        fields = {"type": "request", "auth": {"display_name": "ldap-hvs.CAESIJfakefakefake\x1b"}}
        text = json.dumps({**fields, "request": {"id": "r", "path": "sys/seal"}})
        (folder / "fixtures" / "seal" / "match.jsonl").write_text(text + "\n")
        status, _, err = run(capsys, "test", "--explain", folder)
        assert status == 1
        marker = "ldap-[redacted sha256:"
        shown = err.replace(err.partition(marker)[2].partition("]")[0], "...")
        assert (
            re.sub(" [0-9a-f]{32}", " HASH", shown)
            == f"""\
seal: match.jsonl, line 1: the rule does not match
    alert  high: Seal
    group  seal, principal "{marker}...]\\u001b HASH", path sys/seal
    no   all of
    yes    selection selection
    yes      request.path: sys/seal   record: sys/seal
    no     not
    yes      selection person
    yes        auth.display_name|startswith: ldap- or oidc-   record: "{marker}...]\\u001b"
"""
        )

    def test_a_record_that_should_not_match_is_shown_too(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "fixtures" / "seal" / "ignore.jsonl").write_text(line("sys/seal"))
        assert "yes  selection selection\n" in run(capsys, "test", "--explain", folder)[2]

    def test_a_rule_in_python_has_no_conditions_to_show(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "fixtures" / "odd" / "match.jsonl").write_text(line("even"))
        assert "    the function in Python returned False\n" in run(capsys, "test", "--explain", folder)[2]

    def test_placeholders_of_the_fixtures_are_used(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "seal.yml").write_text(SIGMA.replace("request.path: sys/seal", "request.path|expand: '%paths%'"))
        (folder / "placeholders.yml").write_text("paths: [elsewhere]\n")
        (folder / "fixtures" / "seal" / "placeholders.yml").write_text("paths: [here]\n")
        err = run(capsys, "test", "--explain", folder)[2]
        assert "no   selection selection\n    no     request.path: here   record: sys/seal\n" in err


class TestBroken:
    @pytest.mark.parametrize("verb", [("list", "--rules"), ("show", "seal", "--rules"), ("test",), ("compile",)])
    @pytest.mark.parametrize(
        ("name", "text", "reported"),
        [
            ("x.yml", "a: [", "x.yml, line 1: not YAML"),
            ("x.yml", "\0", "x.yml, line 1: not YAML"),
            ("x.yml", SIGMA.replace("name: seal", "name: other"), "x.yml: "),
            (
                "seal.yml",
                SIGMA.replace("sys/seal", "'sys|seal'").replace("request.path:", "request.path|odd:"),
                "seal.yml",
            ),
        ],
    )
    def test_a_broken_rule_is_one_line_that_names_the_file(
        self, folder: Path, verb: tuple[str, ...], name: str, text: str, reported: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        (folder / name).write_text(text)
        status, out, err = run(capsys, *verb, folder)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert reported in err

    @pytest.mark.parametrize("verb", [("list", "--rules"), ("test",), ("compile",)])
    def test_each_broken_file_is_a_line(
        self, folder: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "a.yml").write_text("a: [")
        (folder / "b.yml").write_text("")
        (folder / "seal.yml").write_text(SIGMA.replace("request.path:", "request.path|odd:"))
        (folder / "z.yml").write_text(SIGMA.replace("name: seal", "name: z").replace("service: audit", "service: x"))
        (folder / "calm.yml").write_text(TestTuned.FILTER)
        status, out, err = run(capsys, *verb, folder)
        assert (status, out) == (2, "")
        assert sorted(line.split(":")[1].split(",")[0] for line in err.splitlines()) == [
            f" mine/{name}.yml" for name in ("a", "b", "seal", "z")
        ]

    @pytest.mark.parametrize("text", ["def (", "raise KeyError('x')", "import nowhere_to_be_found"])
    def test_a_broken_python_rule_is_one_line_too(
        self, folder: Path, text: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "odd.py").write_text(text)
        status, out, err = run(capsys, "test", folder)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("vaultwatch: mine/odd.py: ")

    @pytest.mark.parametrize("arguments", [["list", "--rules", "/proc/nowhere"], ["test", "/proc/nowhere"]])
    def test_a_missing_folder_is_reported(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        missing = "vaultwatch: /proc/nowhere: no such directory of rules (`shipped` names the shipped ones)\n"
        assert run(capsys, *arguments) == (2, "", missing)


class TestCompile:
    def test_the_pack_goes_to_the_file_that_is_named(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(capsys, "compile", folder, "-o", tmp_path / "pack.json") == (0, "", "")
        assert (tmp_path / "pack.json").read_text() == run(capsys, "compile", folder)[1]

    @pytest.mark.parametrize("place", ["/proc/nowhere/x", "/", "/dev/full"])
    def test_a_file_that_cannot_be_written_is_reported(
        self, folder: Path, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, out, err = run(capsys, "compile", folder, "-o", place)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"vaultwatch: --output: {place}: ")
