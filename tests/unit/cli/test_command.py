"""The `vaultwatch` command itself."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from vaultwatch.cli import main


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vaultwatch {version('vaultwatch')}\n"


def test_without_a_command_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().err
    assert [line.split()[0] for line in said.partition("Commands:\n")[2].splitlines() if line[2] != " "] == [
        *("check", "report", "search", "reconcile", "watch", "ship", "archive", "host", "fields", "rules"),
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
