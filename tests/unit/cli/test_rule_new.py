"""`vaultwatch rules new`: what it makes passes `rules test` at once, and contains no secret of the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultwatch.cli import main, rule_fixtures

SECRET = "hvs.CAESIJfakefakefake"
SERVER = "2026-11-21T07:00:00.000Z [INFO]  core: mount tuning of options: path=kv/ options=\n  | a\n  | b\n"


def line(**request: Any) -> str:
    fields = {"id": "r1", "operation": "update", "path": "sys/auth/ldap", "client_token": SECRET, **request}
    return json.dumps({"time": "2026-11-21T07:00:00Z", "type": "request", "request": fields})


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main(["rules", "new", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(("given_as", "which"), [("line", "the only record"), ("file", "the first of 2 records")])
def test_a_rule_from_an_entry_passes_its_test_at_once(
    given_as: str, which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(line() + "\n" + line(path="later") + "\n")
    source = {"line": line(), "file": "a.log"}[given_as]
    assert run(capsys, "audit_ldap_enabled", "--from", source) == (
        0,
        "mine/audit_ldap_enabled.yml\nmine/fixtures/audit_ldap_enabled/match.jsonl\n"
        "mine/fixtures/audit_ldap_enabled/ignore.jsonl\n",
        f"made from {which}: request of 2026-11-21T07:00:00Z, update on sys/auth/ldap\n",
    )
    made = yaml.safe_load(Path("mine/audit_ldap_enabled.yml").read_text())
    assert made["detection"]["selection"] == {"request.path": "sys/auth/ldap", "request.operation": "update"}
    assert made["title"] == "Ldap enabled"
    assert rule_fixtures.tested([Path("mine")])[:3] == (1, [], [])
    assert SECRET not in "".join(path.read_text() for path in Path("mine").rglob("*.*l"))


@pytest.mark.parametrize(
    "source", [SERVER, '{"@level":"warn","@message":"x*","@module":"core","@timestamp":"2026-11-21T07:00:00Z"}']
)
def test_a_rule_from_a_server_message_does_too(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "server_tuned", "--from", source, "--into", tmp_path)[0] == 0
    assert rule_fixtures.tested([tmp_path])[:3] == (1, [], [])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["a*?\\*", "%paths%", "/a", SECRET]
)


@settings(max_examples=30, deadline=None)
@given(path=texts, operation=texts | st.none(), data=st.dictionaries(texts, texts, max_size=3))
def test_whatever_an_entry_contains(
    path: str, operation: str | None, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mine")
    status = main(
        ["rules", "new", "audit_any", "--from", line(path=path, operation=operation, data=data), "--into", str(folder)]
    )
    made = list(folder.rglob("*.*"))
    assert (status, len(made)) in ((0, 3), (2, 0))
    if made:
        assert rule_fixtures.tested([folder])[:3] == (1, [], [])
    assert not any(SECRET in one.read_text() for one in made)


@pytest.mark.parametrize(
    ("name", "source", "reported"),
    [
        ("Audit-X", line(), "a rule's name is of two or more lower-case words joined by `_`"),
        ("../audit_x", line(), "a rule's name is of two or more lower-case words"),
        ("audit_policy_written", line(), "audit_policy_written is a shipped rule"),
        ("audit_x", "/proc/nowhere", "/proc/nowhere: No such file or directory"),
        ("audit_x", "{}", "the line: there is no record to read: "),
        ("audit_x", line(path=""), "--from: the record has no path or message that a rule could select"),
    ],
)
def test_what_makes_no_rule_is_one_line_and_writes_nothing(
    name: str, source: str, reported: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, name, "--from", source, "--into", tmp_path)
    assert (status, out, err.count("\n"), list(tmp_path.iterdir())) == (2, "", 1, [])
    assert reported in err


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("vaultwatch check", """unar -q -o "$d" 'vaultwatch check' && vaultwatch rules new audit_x --from "$d"\n"""),
        ("https://example.org/a", "curl -fsSL https://example.org/a | vaultwatch rules new audit_x --from -\n"),
        ('{"odd": "[INFO]"', "; expected are audit entries (JSON) or messages of the server log, of Vault or "),
        ("{\u201ctype\u201d:\u201crequest\u201d,\u201crequest\u201d:{}}", " | vaultwatch rules new audit_x --from -\n"),
    ],
)
def test_a_command_that_makes_a_log_makes_the_rule_of_it(
    place: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vaultwatch check").write_bytes(b"Rar!")
    assert run(capsys, "audit_x", "--from", place)[2].removesuffix("OpenBao\n").endswith(command)


def test_what_a_record_lacks_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = '{"type":"request","request":{"path":"secret/x","operation":"read"}}'
    said = "made from the only record: request without a time, read on secret/x\n"
    assert run(capsys, "audit_x", "--from", entry, "--into", tmp_path / "mine")[2] == said


@pytest.mark.parametrize("service", ["audit", "server"])
def test_the_record_is_of_the_log_that_the_name_begins_with(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = {"audit": f"{line()}\n", "server": SERVER.partition("\n")[0] + "\n"}
    other = next(one for one in logs if one != service)
    (both := tmp_path / "both.log").write_text(logs[other] * 3 + logs[service] * 2)
    (alone := tmp_path / "alone.log").write_text(logs[other])
    assert run(capsys, f"{service}_x", "--from", alone, "--into", tmp_path / "mine") == (
        2,
        "",
        f"vaultwatch: --from: no record is of the {service} log, which the name {service}_x begins with; "
        f"{other}_x would be a name for the {other} log\n",
    )
    assert run(capsys, f"{service}_x", "--from", both, "--into", tmp_path / "mine")[2].startswith(
        "made from the first of 2 records: "
    )
    made = yaml.safe_load((tmp_path / "mine" / f"{service}_x.yml").read_text())
    assert made["logsource"]["service"] == service
    assert run(capsys, "mine_x", "--from", both, "--into", tmp_path / "mine")[2].startswith("made from the first of 5 ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.log"], "give the log as --from a.log"),
        (["it's.log"], """give the log as --from 'it'"'"'s.log'"""),
        ([], "give the log as --from LOG"),
        (["--from", "a.log", "b.log"], "one log is used: leave out b.log"),
    ],
)
def test_a_log_without_its_option_is_named_with_it(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "audit_ldap_enabled", *arguments)
    assert status == 2
    assert says in err.splitlines()[-1]


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit_x.yml").write_text("mine")
    status, _, err = run(capsys, "audit_x", "--from", line(), "--into", tmp_path)
    assert (status, err) == (2, f"vaultwatch: {tmp_path}/audit_x.yml exists already\n")
    assert [path.name for path in tmp_path.iterdir()] == ["audit_x.yml"]


def test_secrets_of_a_server_message_are_redacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = f"2026-11-21T07:00:00.000Z [INFO]  core: token {SECRET} used: id={SECRET}"
    assert run(capsys, "server_token", "--from", source, "--into", tmp_path)[0] == 0
    assert not any(SECRET in path.read_text() for path in tmp_path.rglob("*.*"))
    assert rule_fixtures.tested([tmp_path])[:3] == (1, [], [])
