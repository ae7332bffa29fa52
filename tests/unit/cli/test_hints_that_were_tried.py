"""A log of which only a half can be read, or nothing: `check` names a command only if that gives more records."""

from __future__ import annotations

import base64
import codecs
import html
import json
import quopri
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.test_check import DATA
from vaultwatch.cli import main
from vaultwatch.findings import trials
from vaultwatch.findings.trials import best_of
from vaultwatch.inputs.programs import Program, programs_for

ENTRIES = (DATA / "audit-device-changes" / "audit.jsonl").read_text().splitlines()
MESSAGES = (DATA / "audit-socket-down" / "server.log").read_text().splitlines()
CRASH = ["panic: runtime error: index out of range", "", "goroutine 1 [running]:", "main.main()", "\t/a/main.go:1 +0x1"]
LINES = [*ENTRIES[:3], *MESSAGES[:9], *ENTRIES[3:], *MESSAGES[9:], *CRASH]


def rules(out: str) -> list[tuple[str, str]]:
    return sorted((alert["rule"], alert["time"]) for alert in map(json.loads, out.splitlines()))


def only_entries(change: Callable[[str], str]) -> list[str]:
    return [change(line) if line.startswith("{") else line for line in LINES]


def otlp(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": otlp(one)} for key, one in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp(one) for one in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value} if value is not None else {}


def in_otlp() -> str:
    bodies = [otlp(json.loads(line) if line.startswith("{") else line) for line in LINES]
    records = [{"timeUnixNano": "1795246260000000123", "body": body} for body in bodies]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})


def wrapped(width: int, *, padded: bool = False) -> list[str]:
    parts = [line[at : at + width] for line in LINES for at in range(0, max(len(line), 1), width)]
    return [part.ljust(width) for part in parts] if padded else parts


def wrapped_by_mail() -> list[str]:
    parts = [textwrap.wrap(line, 76, break_on_hyphens=False) if len(line) > 76 else [line] for line in LINES]
    return [part for several in parts for part in several]


HEAD = "From: a@example.org\nSubject: logs\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n"
READ = {
    "HTML in a page": ["<html><body><pre>", *map(html.escape, LINES), "</pre></body></html>"],
    "a table in HTML": ["<table>", *(f"<tr><td>1</td><td>{html.escape(line)}</td></tr>" for line in LINES), "</table>"],
    "OTLP": [in_otlp()],
    "attributes": ["<events>", *(f'<e n="1" msg="{html.escape(line)}"/>' for line in LINES), "</events>"],
}
LOGS = {
    "HTML": only_entries(html.escape),
    "quotes of a word processor": only_entries(lambda line: line.replace('"', "\u201c")),
    "base64": only_entries(lambda line: base64.b64encode(line.encode()).decode()),
    "a terminal of 80": wrapped(80),
    "a terminal of 120, padded": wrapped(120, padded=True),
    "mail": wrapped_by_mail(),
    "mail in quoted-printable": [HEAD + quopri.encodestring("\n".join(LINES).encode()).decode()],
}


@pytest.mark.parametrize("lines", LOGS.values(), ids=list(LOGS))
def test_the_command_raises_the_alerts_of_the_plain_log(
    lines: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = pasted(LINES, "\n".join(lines) + "\n", tmp_path, capfd)
    assert f"{len(ENTRIES)} audit entries, " in err
    assert " 0 rejected lines, " in err


@pytest.mark.parametrize("lines", READ.values(), ids=list(READ))
def test_what_is_read_raises_the_alerts_of_the_plain_log_without_a_command(
    lines: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = []
    for name, text in (("plain", LINES), ("it's a log", lines)):
        (tmp_path / name).write_text("\n".join(text) + "\n")
        main(["check", "--format", "json", str(tmp_path / name)])
        out, err = capfd.readouterr()
        found.append(rules(out))
    assert found[0] == found[1] != []
    assert f"{len(ENTRIES)} audit entries, " in err
    assert " 0 rejected lines, " in err


@pytest.mark.parametrize("style", ["'", '"', None])
def test_folded_texts_of_yaml_are_joined(style: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server = DATA.parent / "openbao-2.6.2" / "audit-socket-down" / "server.log"
    lines = server.read_text().splitlines()
    pasted(lines, yaml.safe_dump([{"line": line} for line in lines], default_style=style), tmp_path, capfd)


@pytest.mark.parametrize(
    "form",
    [
        "{line:*^40}\n  id: {number}\nline: {text}\n",
        "  id = {number}\nline = {text}\n\n",
        "-[ RECORD {number} ]---\nid   | 1\nline | {text}\n",
    ],
)
def test_of_a_table_with_a_column_in_each_line_only_the_records_are_printed(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = (form.format(line=f" {number}. row ", number=number, text=line) for number, line in enumerate(LINES))
    (log := tmp_path / "it's a table").write_text("".join(rows))
    main(["check", str(log)])
    (hint,) = [line for line in capfd.readouterr().err.splitlines() if line.endswith(" | vaultwatch check")]
    assert "; it is a table of a database client, with a column in each line: cat " in hint
    command = hint.partition("in each line: ")[2].removesuffix(" | vaultwatch check")
    printed = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout
    assert printed == "\n".join(LINES) + "\n"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF16_LE], ids=["without a mark", "with one"])
def test_what_powershell_appended_in_utf_16_has_a_command(
    mark: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, after = ("".join(f"{line}\n" for line in part) for part in (LINES[:20], LINES[20:]))
    err = pasted(LINES, before.encode() + mark + after.replace("\n", "\r\n").encode("utf-16-le"), tmp_path, capfd)
    assert f"{len(ENTRIES)} audit entries, " in err
    assert " 0 rejected lines, " in err


def pasted(lines: list[str], text: str | bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Check that the command for a text raises the alerts of these lines, and return what it says."""
    (plain := tmp_path / "plain").write_text("\n".join(lines) + "\n")
    (log := tmp_path / "it's a log").write_bytes(text.encode() if isinstance(text, str) else text)
    main(["check", "--format", "json", str(plain)])
    expected = rules(capfd.readouterr().out)
    main(["check", "--format", "json", str(log)])
    out, err = capfd.readouterr()
    assert rules(out) != expected
    (hint,) = [line for line in err.splitlines() if line.endswith(" | vaultwatch check")]
    command = hint[hint.index(": cat ") + 2 :].removesuffix("vaultwatch check")
    check = f"{shlex.quote(sys.executable)} -m vaultwatch check --format json"
    done = subprocess.run(["sh", "-c", command + check], check=False, capture_output=True, text=True)
    assert rules(done.stdout) == expected
    return done.stderr


@pytest.mark.parametrize("padded", [False, True])
def test_lines_that_a_terminal_has_wrapped_become_those_that_they_were(padded: bool) -> None:
    text = "\n".join(wrapped(120, padded=padded)) + "\n"
    program = best_of(programs_for(text.encode()), text.encode())
    assert program
    assert trials._run(program.script, text.encode()).decode().splitlines() == [line.rstrip() for line in LINES]


ROW = "2026-11-21T07:31:09.{number:03}Z,5c38b15f5c38b15f5c38b15f5c38b15f,projects/p/logs/stdout,k8s,INFO,{line}"
NO_WRAPPED_LOGS = {
    "cells": [*LINES[:-5], *(ROW.format(number=number, line=line) for number, line in enumerate(CRASH * 3))],
    "a padded table": [f"\u2502 {number:3} \u2502 {line[:2000]:2000} \u2502" for number, line in enumerate(LINES)],
    "a narrow table": [f"| {number:3} | {line[:80]:80} |" for number, line in enumerate(LINES)],
    "cells of PowerShell": [f"Message : {line[:100]}\n          {line[100:]}\n" for line in LINES],
    "two writers": ["".join(pair) for pair in zip(wrapped(4096), (line[:40] for line in LINES), strict=False)],
    "another program": [f"step {number}: compiled module number {number} of the project" for number in range(90)],
}


@pytest.mark.parametrize("lines", NO_WRAPPED_LOGS.values(), ids=list(NO_WRAPPED_LOGS))
def test_what_nothing_has_wrapped_is_not_said_to_be_wrapped(
    lines: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (log := tmp_path / "log").write_text("\n".join(lines) + "\n")
    main(["check", str(log)])
    assert "to be wrapped" not in capfd.readouterr().err


def test_a_sign_of_equality_at_the_end_of_a_line_is_not_that_of_quoted_printable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = "2026-11-21T07:29:41.100Z [INFO]  core: mounted: type=kv options=\nok\n"
    (log := tmp_path / "log").write_text(line * 3)
    main(["check", str(log)])
    assert "quoted-printable" not in capfd.readouterr().err


@pytest.mark.parametrize("script", ["while True: pass", "raise ValueError", "print('x' * 99)", "print()"])
def test_a_program_that_does_not_help_is_not_chosen(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_MOST_SECONDS", 0.5)
    text = f"{ENTRIES[0]}\n{ENTRIES[1][:99]}\n".encode()
    assert best_of([Program("", script)], text) is None


def test_where_no_process_can_be_started_none_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/proc/nowhere")
    assert best_of([Program("", f"print({ENTRIES[0]!r})")], b"x\n") is None


def test_of_programs_that_help_the_one_with_most_records_is_chosen() -> None:
    text = f"x\n{ENTRIES[0]}\n".encode()
    whole, *others = (Program("", f"print({chr(10).join(ENTRIES[:count])!r})") for count in (4, 2, 1))
    assert best_of([*others, whole], text) is whole


def test_what_a_program_prints_without_end_is_read_up_to_a_limit() -> None:
    script = f"while True: print({ENTRIES[0]!r})"
    assert best_of([program := Program("", script)], b"x\n") is program
