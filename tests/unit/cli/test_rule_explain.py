"""`vaultwatch rules explain`: which conditions hold for the records of a log, the nearest records first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vaultwatch.cli import main

RULE = """
title: Policy change by a person
name: mine_policy
logsource: {product: vault, service: audit}
level: medium
detection:
  writing: {request.path|startswith: sys/policies/, request.operation: [create, update]}
  machine: {auth.display_name: [ci, cd]}
  condition: writing and not machine
"""
PYTHON = """
from vaultwatch.rules.python_rules import rule

@rule(title="Odd", level="low", service="audit")
def mine_odd(entry):
    return entry["request"]["path"]["x"]
"""


def line(path: str, operation: str = "update", name: str = "ann") -> str:
    request = {"id": path, "operation": operation, "path": path, "client_token": "hvs.CAESIJfakefakefake"}
    fields = {"time": "2026-11-21T07:00:00Z", "type": "request", "auth": {"display_name": name}, "request": request}
    return json.dumps(fields) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine_policy.yml").write_text(RULE)
    return tmp_path / "mine"


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main(["rules", "explain", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_conditions_of_the_nearest_records_are_shown_with_their_values(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit.log"
    log.write_text(
        line("kv/a", "read") * 5 + line("sys/policies/acl/a", "delete") + line("sys/policies/acl/b", name="ci")
    )
    assert run(capsys, "mine_policy", log, "--rules", folder, "--show", "2") == (
        1,
        """\
mine_policy: matches 0 of 7 records of the audit log

2026-11-21T07:00:00Z  request  update  sys/policies/acl/b
    no   all of
    yes    selection writing
    yes      request.path|startswith: sys/policies/   record: sys/policies/acl/b
    yes      request.operation: create or update   record: update
    no     not
    yes      selection machine
    yes        auth.display_name: ci or cd   record: ci

2026-11-21T07:00:00Z  request  delete  sys/policies/acl/a
    no   all of
    no     selection writing
    yes      request.path|startswith: sys/policies/   record: sys/policies/acl/a
    no       request.operation: create or update   record: delete
    yes    not
    no       selection machine
    no         auth.display_name: ci or cd   record: ann
""",
        "",
    )


def test_a_record_that_matches_is_shown_first_and_is_status_0(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line("kv/a") * 3 + line("sys/policies/acl/b"))
    status, out, _ = run(capsys, "mine_policy", log, "--rules", folder, "--show", "1")
    assert (status, out.splitlines()[0]) == (0, "mine_policy: matches 1 of 4 records of the audit log")
    assert out.splitlines()[2].endswith("update  sys/policies/acl/b")
    assert out.splitlines()[3] == "    yes  all of"


def test_texts_of_a_log_are_escaped_and_without_secrets(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line("sys/policies/\x1b[2J\n", name="hvs.CAESIJfakefakefake" + "x" * 1000))
    out = run(capsys, "mine_policy", log, "--rules", folder)[1]
    assert "\x1b" not in out
    assert "hvs." not in out
    assert max(map(len, out.splitlines())) < 250


def test_a_shipped_rule_is_explained_with_the_names_of_its_selections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line("sys/remount"))
    status, out, _ = run(capsys, "audit_mount_moved", log)
    assert status == 0
    assert "yes  selection selection\n" in out


def test_a_rule_in_python_that_raises_is_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine_odd.py").write_text(PYTHON)
    log = tmp_path / "audit.log"
    log.write_text(line("kv/a"))
    status, out, err = run(capsys, "mine_odd", log, "--rules", folder)
    assert (status, err) == (2, "vaultwatch: mine_odd raised an error on 1 record\n")
    assert "the function in Python raised TypeError" in out


@pytest.mark.parametrize(
    ("name", "text", "reported"),
    [
        ("mine_polcy", "", "no rule named mine_polcy; did you mean `mine_policy`?"),
        ("mine_policy", "", "there is no record to read: it is empty"),
        ("mine_policy", "nonsense\n", "there is no record to read: no JSON object in the line"),
        ("mine_policy", "2026-11-21T07:00:00.000Z [INFO]  core: x\n", "no record of the audit log"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    name: str, text: str, reported: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.log").write_text(text)
    status, out, err = run(capsys, name, tmp_path / "a.log", "--rules", folder)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert reported in err


def test_a_file_that_is_missing_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "mine_policy", "/proc/nowhere", "--rules", folder) == (
        2, "", "vaultwatch: /proc/nowhere: No such file or directory\n")  # fmt: skip


def test_a_command_that_makes_a_log_explains_the_rule_by_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "vaultwatch check"
    log.write_text("{\u201ctype\u201d:\u201crequest\u201d,\u201crequest\u201d:{}}\n")
    _, _, err = run(capsys, "mine_policy", log, "--rules", "shipped", "--rules", folder)
    command = f"vaultwatch rules explain --rules shipped --rules {folder} mine_policy"
    assert f": cat '{log}' | python3 -c " in err
    assert err.endswith(f" | {command}\n")
    log.write_bytes(b"]\0\0\x80\0")
    _, _, err = run(capsys, "mine_policy", log, "--rules", "shipped", "--rules", folder)
    assert err.endswith(f": xz --format=lzma -dc '{log}' | {command}\n")
