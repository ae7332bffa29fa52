"""Measures whole processes from outside: CPU time and peak memory, including their start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
# Variables that `evaluate` and boto3 require; nothing is called.
FUNCTION_ENVIRONMENT = {
    "ALERT_MEMORY_DAYS": "90",
    "ARCHIVE_BUCKET_NAME": "none",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "none",
    "BUCKET_NAME": "none",
    "DEPLOYMENT": "vaultwatch",
    "HISTORY_STREAM_NAME": "none",
    "MAIL_KEY": "x" * 64,
    "POWERTOOLS_METRICS_NAMESPACE": "Vaultwatch",
    "POWERTOOLS_SERVICE_NAME": "evaluate",
    "ROW_SEAL_KEY": "x" * 64,
    "TABLE_NAME": "none",
    "TIMEZONE": "UTC",
    "TOPIC_ARN": "none",
}

# Modules are compiled, as they are when they are installed, even if this process writes none.
_COMPILED: dict[str, str] = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class BenchError(Exception):
    """A measured program gave a wrong result, so its time means nothing."""


@dataclass(frozen=True)
class Usage:
    """The use of one process. `peak_kib` is never below the peak of this process, which must stay small."""

    cpu_seconds: float
    peak_kib: int


def vaultwatch(*arguments: str | Path) -> list[str]:
    """Return the command line of `vaultwatch` in this environment."""
    return [str(Path(sys.executable).with_name("vaultwatch")), *map(str, arguments)]


def python(*arguments: str | Path) -> list[str]:
    """Return a command line of this Python."""
    return [sys.executable, *map(str, arguments)]


def measure(
    command: Sequence[str],
    *,
    stdin: Path | None = None,
    stdout: Path | None = None,
    allowed: Sequence[int] = (0,),
    piped: bool = False,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Usage:
    """Run a command to its end, with the file `stdin` as its input, through a pipe from `cat` if `piped`.

    Raises:
        BenchError: If its exit status is not in `allowed`.
    """
    with ExitStack() as files:
        given: IO[bytes] | int = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
        if piped:
            given = _pipe(files, given)
        taken: IO[bytes] | int = files.enter_context(stdout.open("wb")) if stdout else subprocess.DEVNULL
        errors = files.enter_context(tempfile.TemporaryFile())
        variables = {**_COMPILED, **(environment or {})}
        process = subprocess.Popen(command, stdin=given, stdout=taken, stderr=errors, cwd=folder, env=variables)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in allowed:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise BenchError(f"{' '.join(command[1:3])}: exit status {process.returncode}: {said}")
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss)


def _pipe(files: ExitStack, source: IO[bytes] | int) -> IO[bytes]:
    """Return the output of `cat`, which runs until the context ends."""
    writer = files.enter_context(subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE))
    if writer.stdout is None:
        raise BenchError("cat: it has no output")
    return writer.stdout
