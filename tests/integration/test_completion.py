"""Shell completion in real shells, with the lines of docs/install.md, as somebody types it in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs/install.md"
TIMEOUT_SECONDS = 60
PROMPT = "ready$ "
ECHO = """#!/bin/sh
# Completes as vaultwatch does; else shows its arguments.
[ -z "$_VAULTWATCH_COMPLETE" ] || exec {command} "$@"
printf 'given:'
printf ' [%s]' "$@"
echo .
"""
SHELLS = {
    "bash": (["bash", "--noprofile", "-i"], ".bashrc", f"PS1='{PROMPT}'\n"),
    "zsh": (["zsh", "-d", "-i"], ".zshrc", f"PS1='{PROMPT}'\nunsetopt prompt_sp\n"),
    "fish": (["fish", "-i"], ".config/fish/config.fish", f"function fish_prompt; echo -n '{PROMPT}'; end\n"),
}
"""How each is started, the file that it reads first, and what sets its prompt."""


def documented(shell: str) -> str:
    """Return the lines that docs/install.md gives for a shell."""
    section = DOCS.read_text().partition("## Shell completion\n")[2]
    block = re.search(rf"^{shell}[^\n]*:\n\n((?:    [^\n]*\n)+)", section, re.MULTILINE)
    assert block
    return re.sub("(?m)^    ", "", block[1])


class Terminal:
    """A shell in a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""

    def until(self, text: str) -> str:
        """Return what is shown, up to a text."""
        ends = time.monotonic() + TIMEOUT_SECONDS
        while text not in self._shown:
            readable, _, _ = select.select([self._descriptor], [], [], ends - time.monotonic())
            assert readable, self._shown
            self._shown += os.read(self._descriptor, 65536).decode("utf-8", "replace")
        before, _, self._shown = self._shown.partition(text)
        return before

    def given(self, keys: str) -> str:
        """Type keys and Enter at a prompt, and return the arguments that the command is given then."""
        self.until(PROMPT)
        os.write(self._descriptor, f"{keys}\r".encode())
        self.until("given:")
        return self.until(".\r\n").strip()


@contextmanager
def opened(command: list[str], home: Path, path: str) -> Iterator[Terminal]:
    process, descriptor = pty.fork()
    if process == 0:
        os.chdir(home)
        os.execvpe(command[0], command, {"HOME": str(home), "PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    try:
        yield Terminal(descriptor)
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(descriptor)
        os.waitpid(process, 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_rules_and_files(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not on PATH")
    command, first, prompt = SHELLS[shell]
    (tmp_path / "bin").mkdir()
    (echo := tmp_path / "bin/vaultwatch").write_text(ECHO.format(command=Path(sys.executable).with_name("vaultwatch")))
    echo.chmod(0o755)
    (tmp_path / first).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / first).write_text(documented(shell) + prompt)
    (tmp_path / "a log.jsonl").touch()
    with opened(command, tmp_path, f"{tmp_path}/bin:{os.environ['PATH']}") as terminal:
        assert terminal.given("vaultwatch che\t") == "[check]"
        assert (
            terminal.given("vaultwatch check --rule audit_device_dis\t") == "[check] [--rule] [audit_device_disabled]"
        )
        assert terminal.given("vaultwatch check a\t") == "[check] [a log.jsonl]"
