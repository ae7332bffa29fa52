"""docs/rules.md: its examples work as shown, and its lists are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.rules.sigma import compiled
from vaultwatch.cli import main
from vaultwatch.errors import RuleError
from vaultwatch.reading import view as fields
from vaultwatch.rules.compiling.parsed_rule import RULE_KEYS
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "rules.md").read_text()
BLOCKS = re.compile(r"(?m)^(?P<before>.*)\n\n(?P<block>(?:    .*\n|\n(?=    ))+)")
WRITER = "e40cde87-b936-22ae-57c7-8ba32a9286fe"


def between(start: str, end: str) -> str:
    found = PAGE.partition(start)[2].partition(end)
    assert found[1], f"the page has no longer `{start}` with `{end}` after it"
    return found[0]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def files() -> dict[str, str]:
    """Return the files on the page by their names: the last quoted word before each block."""
    found = {}
    for match in BLOCKS.finditer(PAGE):
        named = re.search(r"`(mine/[^`]+)`[^`]*$", match["before"])
        if named:
            found[named[1]] = re.sub(r"(?m)^    ", "", match["block"])
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files from the first part of the page, and without the shipped rules."""
    for name, text in files().items():
        if "audit_payments_secret_written" in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    main(line.split()[1:])
    return re.sub(r"\d+\.\d s$", "0.1 s", "".join(capsys.readouterr()), flags=re.MULTILINE)


def test_it_is_short() -> None:
    assert len(PAGE.splitlines()) <= 120


def test_the_first_rule_does_what_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = (re.sub(r"(?m)^    ", "", match["block"]) for match in BLOCKS.finditer(PAGE) if "$ " in match["block"])
    commands = [part for part in re.split(r"(?m)^\$ ", shown) if part]
    assert len(commands) == 2
    for command in commands:
        line, _, output = command.partition("\n")
        assert run(line, capsys) == output


def test_the_filter_silences_one_client_of_the_shipped_rule(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [
        {"type": "response", "auth": {"entity_id": who}, "response": {},
         "request": {"id": who, "operation": "update", "path": "sys/policies/acl/app",
                     "remote_address": "127.0.0.1"}}
        for who in (WRITER, "somebody-else")
    ]  # fmt: skip
    (here / "log").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    check = "vaultwatch check --format json --rules shipped --rules mine log"
    assert run(check, capsys).count('"audit_policy_written"') == 2
    (here / "mine" / "pipeline.yml").write_text(files()["mine/pipeline.yml"])
    left = run(check, capsys)
    assert left.count('"audit_policy_written"') == 1
    assert "somebody-else" in left
    assert "not:\n" in run("vaultwatch rules show audit_policy_written --rules shipped --rules mine", capsys)


def test_the_filter_silences_what_the_page_says_in_a_recording(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine" / "pipeline.yml").write_text(files()["mine/pipeline.yml"])
    command, said = (" ".join(one.split()) for one in quoted(between("raises alerts from elsewhere.", "## In Python")))
    *options, log = command.split()
    assert f"{said}\n" in run(" ".join([*options, str(ROOT / log)]), capsys)


def test_the_rule_in_python_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine" / "audit_many_policies.py").write_text(files()["mine/audit_many_policies.py"])
    fixtures = here / "mine" / "fixtures" / "audit_many_policies"
    fixtures.mkdir()
    for kind, count in (("match", 21), ("ignore", 20)):
        entry = {"type": "request", "auth": {"policies": ["p"] * count}, "request": {"id": "r", "path": "kv/a"}}
        (fixtures / f"{kind}.jsonl").write_text(json.dumps(entry) + "\n")
    assert run("vaultwatch rules test mine", capsys) == "2 rules tested, 0 failed\n"


def test_placeholders_of_a_later_folder_win(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine" / "placeholders.yml").write_text("emergency_paths: [crown-jewels]\n")
    shown = run("vaultwatch rules show audit_emergency_path_used --rules shipped --rules mine", capsys)
    assert shown.endswith("Placeholders in force:\n  emergency_paths: [crown-jewels]\n")
    assert run("vaultwatch rules test shipped mine", capsys) == f"{len(shipped_rules()) + 1} rules tested, 0 failed\n"


def test_derived_fields_are_those_of_the_code() -> None:
    assert rows(fields.__doc__ or "")
    assert rows(between("Derived fields:", "A request has")) == rows(fields.__doc__ or "")


def test_it_lists_every_key() -> None:
    named = {
        key for row in rows(between("| key | meaning |", "A map in a selection")) for key in quoted(row.split("|")[1])
    }
    assert {"title", "status", "runbook", "taxonomy"} < named
    assert named == RULE_KEYS


@pytest.mark.parametrize("name", quoted(between("`request.path|startswith`: ", "**Placeholders")))
def test_every_modifier_that_it_lists_compiles(name: str) -> None:
    values = {"all": "[a, b]", "exists": "true", "cidr": "10.0.0.0/8", "expand": "'%x%'", "fieldref": "request.id"}
    values |= dict.fromkeys(["contains", "startswith", "endswith", "cased", "neq", "re", "i", "m", "s"], "a")
    chain = {"i": "re|i", "m": "re|m", "s": "re|s", "all": "contains|all"}.get(name, name)
    compiled(f"s: {{time|{chain}: {values.get(name, 5)}}}\ncondition: s", placeholders={"x": ["a"]})


@pytest.mark.parametrize("name", quoted(between("the modifiers\n", ", regexes")))
def test_every_modifier_that_it_lists_as_refused_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match=f"unsupported modifier {name}"):
        compiled(f"s: {{request.path|{name}: a}}\ncondition: s")


def test_the_number_of_shipped_rules() -> None:
    assert f"The {len(shipped_rules())} shipped rules" in PAGE
