"""`vaultwatch fields`: what a log really has, bounded and safe to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.store.alerts import an_alert
from vaultwatch.cli import main
from vaultwatch.cli.field_usage import MAX_FIELDS

HASH = "hmac-sha256:" + "ab" * 32


def line(name: str = "ann", /, **data: Any) -> str:
    request = {"id": "r", "operation": "update", "path": "kv/a", "data": data}
    return (
        json.dumps({"type": "request", "auth": {"display_name": name, "policies": ["p", "q"]}, "request": request})
        + "\n"
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = main(["fields", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def rows(out: str) -> dict[str, list[str]]:
    return {text.split()[0]: text.split()[1:] for text in out.splitlines()[1:]}


def test_each_field_has_its_records_and_up_to_three_values(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(
        line("ann", a=HASH)
        + line("bob", a=HASH.replace("ab", "cd"))
        + line("cid", b=True)
        + line("dan", c="", **{"d" * 60: 1})
    )
    status, out, err = run(capsys, log)
    assert (status, err) == (0, "")
    assert out.startswith("4 RECORDS OF THE AUDIT LOG ")
    found = rows(out)
    assert found["auth.display_name"] == ["4", "100.0%", "ann,", "bob,", "cid", "and", "more"]
    assert found["auth.policies"] == ["4", "100.0%", "p,", "q"]
    assert found["request.data.a"] == ["2", "50.0%", '"hmac-sha256:..."']
    assert found["request.data.b"] == ["1", "25.0%", "true"]
    assert len({text.index("%") for text in out.splitlines()}) == 1, "the columns are below each other"
    assert found["outcome"] == ["4", "100.0%", "unknown"]
    assert found["mount_path"] == ["4", "100.0%", "a"]
    assert "request.data.c" not in found, "rules count it as absent"


@pytest.mark.parametrize(("names", "has_more"), [("abc", False), ("abca", False), ("abcd", True), ("abcdd", True)])
def test_more_than_three_values_are_named_as_more(
    names: str, has_more: bool, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text("".join(map(line, names)))
    more = ["and", "more"] if has_more else []
    assert rows(run(capsys, log)[1])["auth.display_name"][2:] == ["a,", "b,", "c", *more]
    found = [json.loads(text) for text in run(capsys, log, "--format", "json")[1].splitlines()]
    assert [(one["examples"], one["more"]) for one in found if one["field"] == "auth.display_name"] == [
        (["a", "b", "c"], has_more)
    ]


def test_alerts_of_vaultwatch_in_a_folder_are_no_records(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(line(a=1))
    log.with_name("audit.alert").write_bytes(msgspec.json.encode(an_alert()) + b"\n")
    status, out, err = run(capsys, log.parent)
    assert (status, out.split(" ")[0]) == (0, "1")
    assert err == f"{log.parent}: left out, because vaultwatch wrote it: {log.parent}/audit.alert (alerts)\n"


def test_below_selects_a_field_and_those_below_it(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(line(a=1, ab={"x": 2}))
    assert list(rows(run(capsys, log, "--below", "request.data")[1])) == ["request.data.a", "request.data.ab.x"]
    assert list(rows(run(capsys, log, "--below", "request.data.a")[1])) == ["request.data.a"]
    status, out, err = run(capsys, log, "--below", "request.dat.a")
    assert (status, out) == (2, "")
    assert err == "vaultwatch: --below: no record has the field request.dat.a; did you mean `request.data.a`?\n"


def test_both_logs_are_listed_and_json_is_one_field_per_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(line())
    (tmp_path / "server.log").write_text("2026-11-21T07:00:00.000Z [INFO]  core: sealed: path=kv/\n")
    found = [json.loads(text) for text in run(capsys, tmp_path, "--format", "json")[1].splitlines()]
    path = {"field": "fields.path", "records": 1, "of": 1, "examples": ["kv/"], "more": False, "log": "server"}
    assert path in found
    assert {one["log"] for one in found} == {"audit", "server"}


@pytest.mark.parametrize("form", ["table", "json"])
def test_names_and_values_from_a_log_are_escaped_bounded_and_without_secrets(
    form: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "hvs.CAESIJfakefakefake"
    log.write_text(line(secret, **{f"\x1b[2J\u202e{secret}": "x" * 100_000, "y" * 10_000: f"\n{secret}"}))
    status, out, _ = run(capsys, log, "--format", form)
    assert status == 0
    assert not any(char in out for char in ("\x1b", "\u202e", secret))
    assert max(map(len, out.splitlines())) < 1_500


def test_a_command_that_makes_a_log_lists_its_fields(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log.with_name("vaultwatch check")
    log.write_bytes(b"]\0\0\x80\0")
    assert run(capsys, log)[2].endswith(f": xz --format=lzma -dc '{log}' | vaultwatch fields\n")
    assert run(capsys, "https://example.org/a")[2].endswith("| vaultwatch fields\n")
    log.write_bytes(b"Rar!")
    assert run(capsys, log)[2].endswith(f"""unar -q -o "$d" '{log}' && vaultwatch fields "$d"\n""")
    log.write_text("{\u201ctype\u201d:\u201crequest\u201d,\u201crequest\u201d:{}}\n")
    err = run(capsys, log.parent)[2]
    assert f": cat '{log}' | python3 -c " in err
    assert err.endswith(" | vaultwatch fields\n")


def test_fields_beyond_the_bound_are_counted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text("".join(line(**{f"f{batch}-{number}": 1 for number in range(700)}) for batch in range(4)))
    status, out, err = run(capsys, log)
    assert (status, len(out.splitlines())) == (0, 1 + MAX_FIELDS)
    left_out = 4 * 700 - (MAX_FIELDS - len([name for name in rows(out) if not name.startswith("request.data.")]))
    assert err == f"{left_out:,} values in fields beyond the first 2,000 not listed\n"


@pytest.mark.parametrize(("text", "reason"), [("", "it is empty"), ("x\n", "no JSON object in the line")])
def test_a_log_without_records_is_one_line(
    text: str, reason: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(text)
    status, out, err = run(capsys, log)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"there is no record to read: {reason}" in err
