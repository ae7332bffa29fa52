"""The `vaultwatch` command itself."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.waiting import HUNG_SECONDS
from tests.support.watching import entry
from vaultwatch.cli import main


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vaultwatch {version('vaultwatch')}\n"


def test_without_a_command_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().err
    listed = said.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == [
        *(
            "check",
            "report",
            "search",
            "reconcile",
            "watch",
            "status",
            "probe",
            "ship",
            "archive",
            "host",
            "fields",
            "rules",
        ),
    ]


@pytest.mark.parametrize("wrong", [["chek"], ["--verbose"]])
def test_an_unknown_command_or_option_is_an_error_of_one_line(
    capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    assert main(wrong) == 2
    said = capsys.readouterr().err
    assert wrong[0] in said
    assert said.count("\n") == 1


def test_a_misspelled_command_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    main(["chek"])
    assert capsys.readouterr().err == "vaultwatch: no such command `chek`; did you mean `check`?\n"
    main(["banana"])
    assert capsys.readouterr().err == "vaultwatch: no such command `banana`\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rules", "lst"], "no such command `lst`; did you mean `list`?"),
        (["archive", "lst"], "no such command `lst`; did you mean `list`?"),
        (["host", "banana"], "no such command `banana`"),
        (["check", "--levl", "high"], "no such option `--levl`; did you mean `--level`?"),
        (["check", "--zzz"], "no such option `--zzz`"),
    ],
)
def test_suggestions_are_made_in_one_style(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"vaultwatch: {said}\n"


@pytest.mark.parametrize(
    ("package", "extra"), [("boto3", "aws"), ("botocore.session", "aws"), ("cryptography.x509", "host")]
)
def test_a_command_whose_extra_is_missing_names_it_in_one_line(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError(name=package)

    monkeypatch.setattr("vaultwatch.cli.import_module", missing)
    assert main(["host"]) == 2
    said = f"{package.partition('.')[0]} is not installed: install Vaultwatch with its extra `{extra}`"
    assert capsys.readouterr() == ("", f"vaultwatch: {said}\n")


def test_a_missing_package_that_no_extra_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError(name="vaultwatch.nothing")

    monkeypatch.setattr("vaultwatch.cli.import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        main(["host"])


@pytest.mark.parametrize("command", [["check"], ["report", "-"], ["search", "wanted"], ["fields"]])
def test_what_waits_for_a_terminal_says_so(command: list[str], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"plain\n\x04")
    done = subprocess.run(
        [sys.executable, "-m", "vaultwatch", *command],
        stdin=theirs,
        capture_output=True,
        cwd=tmp_path,
        check=False,
        timeout=HUNG_SECONDS,
    )
    assert done.stderr.splitlines()[0] == b"reading from the terminal; press Ctrl-D to end"
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("command", [["fields"], ["search", "policies"]])
def test_whoever_reads_less_than_is_written_ends_it_quietly(command: list[str], tmp_path: Path) -> None:
    (log := tmp_path / "audit.log").write_text("".join(entry(number).decode() for number in range(300)))
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "vaultwatch", *command, log],
            stdout=writes, stderr=subprocess.PIPE, timeout=HUNG_SECONDS, check=False,
        )  # fmt: skip
    finally:
        os.close(writes)
    assert (ran.returncode, ran.stderr) == (141, b"")
