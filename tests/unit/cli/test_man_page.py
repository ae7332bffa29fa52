"""The manual page: it says what the commands say of themselves, and groff and mandoc read it without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.unit.cli.test_help import COMMANDS
from tools.man_page import PAGE, man_page, undated

REQUESTS = {"TH", "SH", "SS", "PP", "TP", "RS", "RE", "nf", "fi"}


def test_the_page_is_that_of_the_commands() -> None:
    date = re.match(r"\.TH VAULTWATCH 1 (\d{4}-\d\d-\d\d) ", PAGE.read_text())
    assert date
    assert undated(PAGE.read_text()) == undated(man_page(date[1])), "run `python -m tools.man_page`"


def test_every_command_and_option_is_on_it() -> None:
    plain = re.sub(r"\\f[BIR]", "", PAGE.read_text()).replace(r"\-", "-")
    for path, command in COMMANDS.items():
        if not hasattr(command, "commands") and path:
            assert f"\n.SS vaultwatch {' '.join(path)}\n" in plain
        for option in (name for param in command.params for name in param.opts if name.startswith("--")):
            assert option in plain


def test_no_text_is_taken_for_a_request() -> None:
    lines = PAGE.read_text().splitlines()
    assert {line.split()[0][1:] for line in lines if line.startswith((".", "'"))} == REQUESTS


@pytest.mark.parametrize("command", ["groff -man -Tutf8 -ww -z", "mandoc -Tlint"])
def test_what_shows_it_warns_of_nothing(command: str) -> None:
    program, *options = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on PATH")
    done = subprocess.run([program, *options, PAGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
