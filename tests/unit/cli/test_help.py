"""The help of every command: it ends with examples, which the command accepts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from vaultwatch.cli import main, vaultwatch


def commands(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands((*path, name), found)


COMMANDS = dict(commands((), vaultwatch))
EXAMPLES = [line for one in COMMANDS.values() for line in (one.epilog or "").splitlines()[2:]]


def calls(example: str) -> Iterator[list[str]]:
    """Return the arguments of each call of `vaultwatch` in a line for a shell."""
    words = shlex.shlex(example, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] | None = None
    for word in [*words, ";"]:
        if word[0] in "|&;<>":
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == "vaultwatch":
            call = []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_ends_with_examples_one_in_a_line(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    text, heading, examples = capsys.readouterr().out.partition("\n  Examples:\n")
    assert heading
    assert f"vaultwatch {' '.join(path)}".strip() in examples
    assert all(line.startswith("    ") for line in examples.splitlines())
    assert "\\b" not in text


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_accepted(example: str) -> None:
    found = list(calls(example))
    assert found
    for words in found:
        path: tuple[str, ...] = ()
        while (*path, *words[:1]) in COMMANDS and words:
            path, words = (*path, words[0]), words[1:]  # noqa: PLW2901
        if words != ["--help"]:
            COMMANDS[path].make_context("vaultwatch", list(words))


def completed(words: str, start: str) -> list[tuple[str, str]]:
    found = ShellComplete(vaultwatch, {}, "vaultwatch", "_VAULTWATCH_COMPLETE").get_completions(words.split(), start)
    return [(one.type, one.value) for one in found]


@pytest.mark.parametrize("words", ["check", "report", "search text", "reconcile", "fields", "rules replay"])
def test_the_shell_completes_files_where_a_log_is_named(words: str) -> None:
    assert completed(words, "/var/log/va") == [("file", "/var/log/va")]


@pytest.mark.parametrize("words", ["rules show", "rules explain", "check --rule", "report --exclude"])
def test_the_shell_completes_the_names_of_rules(words: str) -> None:
    assert completed(words, "audit_device_d") == [("plain", "audit_device_disabled")]


@pytest.mark.parametrize(
    ("words", "start", "found"),
    [
        ("watch --source", "a", ["audit"]),
        ("watch --level", "h", ["high"]),
        ("ship --source", "s", ["server"]),
        ("check --format", "ju", ["junit"]),
        ("rules convert --rule", "audit_device_d", ["audit_device_disabled"]),
    ],
)
def test_the_shell_completes_the_values_of_options(words: str, start: str, found: list[str]) -> None:
    assert [value for _, value in completed(words, start)] == found


def test_the_options_of_report_are_options_of_check_as_its_help_says() -> None:
    of = {
        name: {
            option.opts[0]: (option.opts, option.secondary_opts, option.help, str(option.default))
            for option in COMMANDS[name,].params
            if isinstance(option, click.Option)
        }
        for name in ("check", "report")
    }
    assert "every option but --output means what it means there" in " ".join((COMMANDS["report",].help or "").split())
    assert of["report"].keys() - of["check"].keys() == {"-o"}
    assert all(of["check"][name] == of["report"][name] for name in of["report"].keys() - {"-o"})
