"""Files that options name for output: nobody loses one that Vaultwatch did not write."""

from __future__ import annotations

import json
import os
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
        first, again = (run(COMMANDS[name], file) for _ in range(2))
        assert first == again
        assert first[1] == ""
        assert file.read_bytes()

    @pytest.mark.parametrize("content", [b"my notes\n", AUDIT.read_bytes()])
    def test_leaves_a_file_with_something_else_as_it_is(
        self, run: Run, tmp_path: Path, name: str, content: bytes
    ) -> None:
        file = tmp_path / "precious"
        file.write_bytes(content)
        status, error = run(COMMANDS[name], file)
        assert status == 2
        assert error.startswith(f"vaultwatch: {name.rpartition(' ')[2]}: {file}: has something else than ")
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
    assert run(command, tmp_path / "rejected") == run(command, tmp_path / "rejected")
    assert len([json.loads(line) for line in (tmp_path / "rejected").read_text().splitlines()]) == 4
