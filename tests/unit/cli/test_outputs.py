"""Files that options name for output: nobody loses one that Vaultwatch did not write."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultwatch.cli import main

DATA = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2" / "generate-root"
AUDIT, SERVER = DATA / "audit.jsonl", DATA / "server.log"
RULE = Path(__file__).parents[3] / "rules" / "audit_device_disabled.yml"

COMMANDS: dict[str, list[object]] = {
    "check --rejected": ["check", "--source", "audit", SERVER, AUDIT, "--rejected"],
    "check --stats": ["check", AUDIT, "--stats"],
    "report --output": ["report", AUDIT, "--output"],
    "reconcile --metrics": ["reconcile", AUDIT, AUDIT, "--metrics"],
    "rules compile --output": ["rules", "compile", "RULES", "--output"],
    "rules coverage --output": ["rules", "coverage", "--output"],
}
NOT_EMPTY = "vaultwatch: --rejected: {}: is not empty, and is left as it is"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command with a file as the value of its last option; returns its status and what it says of an error."""
    (rules := tmp_path / "rules").mkdir()
    (rules / RULE.name).write_bytes(RULE.read_bytes())

    def run(command: list[object], file: object) -> tuple[int, str]:
        status = main([str(rules) if word == "RULES" else str(word) for word in (*command, file)])
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("vaultwatch: -")]
        return status, "".join(lines)

    return run


@pytest.mark.parametrize("name", COMMANDS)
class TestEveryOutput:
    def test_replaces_its_own_earlier_output(self, run: Run, tmp_path: Path, name: str) -> None:
        file = tmp_path / "output"
        status, error = run(COMMANDS[name], file)
        again = run(COMMANDS[name], file)
        replaces = name != "check --rejected"
        assert (error, again) == ("", (status, "") if replaces else (2, NOT_EMPTY.format(file)))
        assert file.read_bytes()

    @pytest.mark.parametrize("content", [b"my notes\n", AUDIT.read_bytes()])
    def test_leaves_a_file_with_something_else_as_it_is(
        self, run: Run, tmp_path: Path, name: str, content: bytes
    ) -> None:
        file = tmp_path / "precious"
        file.write_bytes(content)
        status, error = run(COMMANDS[name], file)
        assert status == 2
        assert error.startswith(f"vaultwatch: {name.rpartition(' ')[2]}: {file}: ")
        assert error.endswith(", and is left as it is")
        assert file.read_bytes() == content

    def test_refuses_a_named_pipe_without_waiting_for_a_reader(self, run: Run, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / "pipe")
        status, error = run(COMMANDS[name], tmp_path / "pipe")
        assert (status, error) == (2, f"vaultwatch: {name.rpartition(' ')[2]}: {tmp_path}/pipe: is not a regular file")

    def test_can_go_to_an_open_descriptor_and_to_nowhere(self, run: Run, tmp_path: Path, name: str) -> None:
        with (tmp_path / "log").open("ab+") as log:
            log.write(b"before\n")
            log.flush()
            assert run(COMMANDS[name], f"/dev/fd/{log.fileno()}")[1] == ""
        found = (tmp_path / "log").read_bytes()
        assert found.startswith(b"before\n")
        assert len(found) > len(b"before\n")
        assert run(COMMANDS[name], os.devnull)[1] == ""

    def test_goes_to_stdout_where_it_is_named_by_a_dash(
        self, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        (rules := tmp_path / "rules").mkdir()
        (rules / RULE.name).write_bytes(RULE.read_bytes())
        (here := tmp_path / "here").mkdir()
        monkeypatch.chdir(here)
        command = [str(rules) if word == "RULES" else str(word) for word in COMMANDS[name]]
        for place in ("-", "output"):
            main([*command, place])
        found = capfdbinary.readouterr()
        last = (here / "output").read_bytes().splitlines()[-1]
        assert re.sub(rb"[0-9]", b"", last) in re.sub(rb"[0-9]", b"", found.out)
        assert [path.name for path in here.iterdir()] == ["output"]


@pytest.mark.parametrize("option", ["--alert-log", "--rejected", "--stats", "--metrics", "--log-file", "--state"])
def test_a_handler_has_no_stdout_for_its_files(run: Run, tmp_path: Path, option: str) -> None:
    command = ["watch", "--source", "audit", "--check-config", "--state", tmp_path, option]
    assert run(command, "-") == (2, f"vaultwatch: {option}: `-` is no name of a file here")


def test_rejected_lines_on_stdout_are_not_torn_apart_by_alerts(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (log := tmp_path / "log").write_bytes(b"x" * 3_000 + b"\n" + AUDIT.read_bytes() + (b"y" * 3_000 + b"\n") * 9)
    main(["check", "--format", "json", "--rejected", "-", str(log)])
    assert len([json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]) > 10


@pytest.mark.parametrize(
    ("command", "option"),
    [(["rules", "catalogue"], "--output"), (["rules", "new", "own", "--from", str(AUDIT)], "--into")],
)
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_folder_is_never_stdout(
    command: list[str],
    option: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, option, name]) == 2
    assert capfd.readouterr().err == f"vaultwatch: {option}: {name}: a folder is expected, and this is stdout\n"
    assert not any(tmp_path.iterdir())


def test_a_catalogue_does_not_replace_the_readme_of_somebody_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My rules\n")
    status, error = run(["rules", "catalogue", "RULES", "--output"], tmp_path)
    assert (status, "README.md: has something else than a page" in error) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "rules"]
    assert run(["rules", "catalogue", "RULES", "--output"], tmp_path / "pages") == (0, "")
    assert run(["rules", "catalogue", "RULES", "--output"], tmp_path / "pages") == (0, "")


def test_two_options_cannot_name_one_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    found = run(["check", AUDIT, "--rejected", file, "--stats"], tmp_path / "." / "file")
    assert found == (2, f"vaultwatch: --stats: {file}: is the file of another option")


@pytest.mark.parametrize("name", ["check --rejected", "reconcile --metrics"])
def test_an_input_is_refused_even_if_it_is_earlier_output(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "output"
    run(COMMANDS[name], file)
    before = file.read_bytes()
    command = [file if word == AUDIT else word for word in COMMANDS[name]]
    assert run(command, file) == (2, f"vaultwatch: {name.rpartition(' ')[2]}: {file}: is one of the files to read")
    assert file.read_bytes() == before


def test_rejected_lines_begin_as_they_are_known_whatever_the_reason_says(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"type":"a\\"b"\n\xff\n' * 2)
    command = ["check", "--source", "audit", tmp_path / "log", "--rejected"]
    assert run(command, tmp_path / "rejected")[1] == ""
    assert len([json.loads(line) for line in (tmp_path / "rejected").read_text().splitlines()]) == 4


def test_rejected_lines_replace_nothing_not_even_those_of_watch(run: Run, tmp_path: Path) -> None:
    """`watch --rejected` appends lines of the same form, for weeks."""
    file = tmp_path / "output"
    assert run(COMMANDS["check --rejected"], file)[1] == ""
    before = file.read_bytes()
    assert run(COMMANDS["check --rejected"], file) == (2, NOT_EMPTY.format(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["check --stats", "reconcile --metrics"])
def test_a_log_behind_a_line_of_output_is_left_as_it_is(run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "output"
    run(COMMANDS[name], file)
    mixed = file.read_bytes() + AUDIT.read_bytes()
    file.write_bytes(mixed)
    status, error = run(COMMANDS[name], file)
    assert (status, "has something else than " in error, file.read_bytes() == mixed) == (2, True, True)


def test_the_metrics_of_another_command_are_left_as_they_are(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "output"
    run(COMMANDS["reconcile --metrics"], file)
    (other := tmp_path / "other").write_bytes(file.read_bytes().replace(b'"reconcile"', b'"probe"'))
    status, error = run(COMMANDS["reconcile --metrics"], other)
    assert (status, "has something else than metrics of vaultwatch reconcile" in error) == (2, True)


def test_no_file_is_emptied_if_another_must_not_be_written(run: Run, tmp_path: Path) -> None:
    (precious := tmp_path / "precious").write_text("mine")
    (stats := tmp_path / "stats").write_bytes(b'{"audit":1,"server":1,"rejected":1,"x":1}\n')
    assert run(["check", AUDIT, "--stats", stats, "--rejected"], precious)[0] == 2
    assert run(["check", AUDIT, "--rejected", tmp_path / "new", "--stats"], precious)[0] == 2
    assert (stats.stat().st_size > 1, (tmp_path / "new").exists()) == (True, False)


def test_what_is_read_from_stdin_is_not_an_output(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "output"
    run(COMMANDS["check --stats"], file)
    with file.open() as stdin:
        before = os.dup(0)
        os.dup2(stdin.fileno(), 0)
        try:
            found = run(["check", "--stats"], file)
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert found == (2, f"vaultwatch: --stats: {file}: is one of the files to read")


def test_a_new_file_has_the_umask_and_one_that_is_replaced_keeps_its_permissions(run: Run, tmp_path: Path) -> None:
    file, before = tmp_path / "output", os.umask(0o077)
    try:
        run(COMMANDS["reconcile --metrics"], file)
    finally:
        os.umask(before)
    first = file.stat().st_mode & 0o777
    file.chmod(0o640)
    run(COMMANDS["reconcile --metrics"], file)
    assert (first, file.stat().st_mode & 0o777) == (0o600, 0o640)
